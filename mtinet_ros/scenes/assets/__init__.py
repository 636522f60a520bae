# SPDX-License-Identifier: Apache-2.0
"""What rooms are furnished with: catalog models, pieces made here, materials, artwork."""
