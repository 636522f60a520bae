# SPDX-License-Identifier: Apache-2.0
"""One sample type, the data sets that are sources of it, and writers of their layouts."""
