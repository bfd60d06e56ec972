"""The Kubernetes types of the operator and their meaning. Start reading at `types.py`.

`spec.py` interprets a ModelAdapter's spec, `annotations.py` is the state persisted on it, `labels.py` names all labels.
"""
