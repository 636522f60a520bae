# SPDX-License-Identifier: Apache-2.0
"""The process around the node: middleware settings, logging, signals and a quiet end."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence

import rclpy
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier

from mtinet_ros.errors import ConfigurationError, MtinetError
from mtinet_ros.node.end_signals import EndSignals
from mtinet_ros.node.perception_node import PerceptionNode
from mtinet_ros.node.transport_advice import Transport
from mtinet_ros.node.transport_profile import ensure_transport_profile


class _RosLogHandler(logging.Handler):
    """Sends what the rooms without ROS log to the node's logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def _use_transport_profile() -> None:
    try:
        ensure_transport_profile(os.environ, get_rmw_implementation_identifier())
    except ConfigurationError as error:  # images may be lost, but small ones still arrive
        get_logger("perception").warning(str(error))


def _tell_transport(logger: RcutilsLogger, summary: str, warnings: Sequence[str]) -> None:
    logger.info(summary)
    for sentence in warnings:
        logger.warning(sentence)


def _init(argv: Sequence[str]) -> None:
    try:
        rclpy.init(args=list(argv), signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # rclpy's own kinds of error differ between distributions
        reason = str(error).partition(", at ")[0]
        raise ConfigurationError(f"the ROS arguments cannot be used: {reason}") from error


def run(argv: Sequence[str]) -> int:
    """Run the node until a signal or its shutdown transition ends it.

    Args:
        argv: Command line, ROS arguments included.

    Returns:
        Exit status: 0 for a regular end, 1 if the node could not start (said in one line), or
        for a defect (with its traceback).
    """
    signals = EndSignals()
    node = None
    worker_ended = True
    status = 1  # of an end that nobody foresaw
    try:
        _use_transport_profile()
        transport = Transport.of_this_process(get_rmw_implementation_identifier(), os.environ)
        warnings = transport.warnings()  # before this process takes its own share of /dev/shm
        _init(argv)
        node = PerceptionNode()
        _tell_transport(node.get_logger(), transport.summary(), warnings)
        room_logger = logging.getLogger("mtinet_ros")
        room_logger.setLevel(logging.INFO)
        room_logger.addHandler(_RosLogHandler(node.get_logger()))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        signals.tell(node.end)
        if node.get_parameter("build_only").value:
            node.configure_to_build()
        executor.spin_until_future_complete(node.finished)
        status = node.exit_status
    except ExternalShutdownException:
        status = 0
    except (MtinetError, InvalidParameterTypeException) as error:
        get_logger("perception").fatal(str(error))
        return 1
    except Exception:
        traceback.print_exc()
    finally:
        signals.ignore()
        if node is not None:
            worker_ended = node.close()
        rclpy.try_shutdown()
        if node is not None and not worker_ended:
            # A network in mid-run cannot be interrupted; nothing of it is worth waiting for.
            node.destroy_node()  # or the middleware's shared memory would outlive the process
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return status
