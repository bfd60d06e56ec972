"""Groups of pods: what their webhooks and controllers add to a pod."""
