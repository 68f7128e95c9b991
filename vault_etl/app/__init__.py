"""Composition: functions that build services and their adapters from one object of shared parts.

`parts.Parts` has the settings and the connections. Each other module has the functions of one capability, which
take the parts. Commands and the Lambda handler call them; nothing else builds an adapter.
"""
