# SPDX-License-Identifier: Apache-2.0
"""What holds for every test."""

import signal

# A shell's background job starts with SIGINT ignored, and would hand that down to the processes
# that tests interrupt; a handler of our own is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
