"""Lets `pytest contract_tests` find the options; see plugin.py."""

pytest_plugins = ["stepstub.contract_tests.plugin"]
