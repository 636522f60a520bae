#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command with ROS 2 and the workspace sourced.
set -e
trap exit INT TERM # the first process of a container has no default for them
. "/opt/ros/${ROS_DISTRO}/setup.bash"
. /opt/mtinet_ros/local_setup.bash
if [ "${1-} ${2-}" != "ros2 launch" ]; then
    exec "$@"
fi

# Launch ends its nodes in order by SIGINT only. SIGTERM it leaves to its default: it dies and they live
# on; as a container's first process it does not even die. And with a terminal it thinks that they have
# had the signal, too. So it runs in a session without one and gets either signal as SIGINT, which this
# shell would have it ignore but for env.
setsid env --default-signal=INT "$@" </dev/null &
launch=$!
trap 'kill -s INT "$launch" || true' INT TERM
while kill -0 "$launch" 2>/dev/null; do
    wait "$launch" || true # also over once a signal has come
done
wait "$launch"
