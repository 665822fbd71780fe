# SPDX-License-Identifier: Apache-2.0
"""Advisories against container runtimes, one test a row: what an image may never bring about."""
