"""Admission by what users register: webhooks and ValidatingAdmissionPolicies. Start reading at `chain.py`."""
