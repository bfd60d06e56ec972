"""One reconcile of one key: observe, plan, execute.

`reconcile` is level-based: it looks at the current state and not at what happened, and may be called at any time and
any number of times. Observing, planning and reserving what the plan needs happen without an `await`, so two workers
never plan with the same free slot.
"""

from controller.cache.secrets import secrets_of
from controller.reconcile.dependencies import ReconcilerDependencies
from controller.reconcile.executor import PlanExecutor, Result
from controller.reconcile.observe import observe
from controller.reconcile.planning.endpoints import plan_withdrawal
from controller.reconcile.planning.plan import plan


class Reconciler:
    """Reconciles the adapters of one operator."""

    def __init__(self, dependencies: ReconcilerDependencies) -> None:
        self.dependencies = dependencies

    async def reconcile(self, key: str) -> Result:
        """Bring one adapter closer to its spec.

        Raises:
            ClientError: a read or a write failed.
        """
        dependencies = self.dependencies
        cache = dependencies.cache
        adapter = cache.adapters.get(key)
        if adapter is None:
            self._forget(key)
            return Result(with_actions=False)
        if warning := dependencies.other_operators.warning(adapter):
            dependencies.events.event(adapter, "Warning", "AnotherOperator", warning)
        now = dependencies.clock.now().timestamp()
        dependencies.secrets.use(key, secrets_of(adapter))
        if adapter.spec.api_key_secret_ref is not None:
            if (withdrawal := plan_withdrawal(observe(adapter, dependencies), {}, now)) is not None:
                return await PlanExecutor(dependencies, adapter, withdrawal).run()
            await dependencies.secrets.refresh(adapter)
            adapter = cache.adapters.get(key) or adapter  # it may have changed during this read
            now = dependencies.clock.now().timestamp()
        policy = dependencies.policies.of(adapter.spec.scheduler_name)
        snapshot = observe(adapter, dependencies)
        planned = plan(snapshot, now, dependencies.settings, policy, dependencies.rng)
        dependencies.secret_watcher.watch(key, secrets_of(adapter) if planned.refused else ())
        return await PlanExecutor(dependencies, adapter, planned).run()

    def _forget(self, key: str) -> None:
        """Drop what is kept for a deleted adapter."""
        self.dependencies.tracker.forget_adapter(key)
        self.dependencies.cache.occupancy.claim(key, ())
        self.dependencies.other_operators.forget(key)
        for errors in self.dependencies.refused_writes:
            errors.forget(key)
        self.dependencies.secret_watcher.watch(key, ())
        self.dependencies.secrets.use(key, ())
