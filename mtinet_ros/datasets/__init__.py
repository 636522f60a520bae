# SPDX-License-Identifier: Apache-2.0
"""One sample type, and the data sets that are sources of it."""
