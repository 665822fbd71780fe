# SPDX-License-Identifier: Apache-2.0
"""The container's cgroup: where it is, its limits, its processes. `driver` is the way in."""
