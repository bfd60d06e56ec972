"""The controllers of groups of pods, which clusters install as operators: LeaderWorkerSet, AIBrix and KubeRay.

`definitions.py` has the CustomResourceDefinitions. Each other module is one controller or the decisions of one;
`group_controller.py` is their base.
"""
