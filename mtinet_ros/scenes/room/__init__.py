# SPDX-License-Identifier: Apache-2.0
"""One room: its plan and shell, what stands where, how it is lit."""
