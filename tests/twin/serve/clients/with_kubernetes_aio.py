"""The `kubernetes` package's asyncio client: lists, a watch, the dynamic client."""

import asyncio

from kubernetes.aio import client, config, dynamic, watch

ADAPTER = {
    "apiVersion": "model.aibrix.ai/v1alpha1",
    "kind": "ModelAdapter",
    "metadata": {"name": "from-asyncio"},
    "spec": {
        "baseModel": "qwen",
        "podSelector": {"matchLabels": {"model.aibrix.ai/name": "qwen"}},
        "artifactURL": "huggingface://acme/from-asyncio",
    },
}
PLACE = ("model.aibrix.ai", "v1alpha1", "default", "modeladapters")


async def main() -> None:
    await config.load_kube_config()
    async with client.ApiClient() as api:
        core, custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        assert len((await core.list_node()).items) == 2
        listed = await custom.list_namespaced_custom_object(*PLACE, limit=1)
        await custom.create_namespaced_custom_object(*PLACE, ADAPTER)
        version = listed["metadata"]["resourceVersion"]
        async with watch.Watch().stream(
            custom.list_namespaced_custom_object, *PLACE, resource_version=version, timeout_seconds=5
        ) as events:
            async for event in events:
                assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "from-asyncio")
                break
        result = await dynamic.DynamicClient(api)
        adapters = await result.resources.get(api_version="model.aibrix.ai/v1alpha1", kind="ModelAdapter")
        await adapters.patch(
            body={"spec": {"replicas": 2}}, name="from-asyncio", namespace="default",
            content_type="application/merge-patch+json",
        )  # fmt: skip
        assert (await adapters.get(name="from-asyncio", namespace="default")).spec.replicas == 2
        await adapters.delete(name="from-asyncio", namespace="default")


if __name__ == "__main__":
    asyncio.run(main())
    print("all fine")
