# SPDX-License-Identifier: Apache-2.0
"""Assets of rooms: catalog models, generated furniture and objects, materials, artwork."""
