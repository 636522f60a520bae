# SPDX-License-Identifier: Apache-2.0
"""The demonstration: pictures played as a camera, the real node, and somebody who watches it."""
