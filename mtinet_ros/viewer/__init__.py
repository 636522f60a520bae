# SPDX-License-Identifier: Apache-2.0
"""What the node publishes, or published into a bag, in Rerun: a process of its own."""
