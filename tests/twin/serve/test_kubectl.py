"""kubectl with a served world: the design document's commands and common ones, in the order of a working day.

One test, because it is one day: each command finds what those before it have left.
"""

import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from tests.twin.serve.worlds import World, a_served_world

MANIFESTS = Path(__file__).parents[2] / "data" / "manifests"
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: s3-credentials, namespace: default}
type: Opaque
stringData: {aws_access_key_id: AKIAIOSFODNN7EXAMPLE, aws_secret_access_key: example, aws_region: us-west-2}
"""
BASE = "qwen-coder-1-5b-instruct"
ADAPTER = "qwen-code-lora"
MANAGER = ("-n", "aibrix-system", "deployment/aibrix-controller-manager")


@dataclass
class Day:
    """Runs commands; collects failures and the verbs used."""

    world: World
    wrong: list[str] = field(default_factory=list)
    count: int = 0

    def does(self, command: str, *expected: str, code: int = 0, stdin: str = "") -> str:
        """Run `kubectl COMMAND`; its output should match all of `wanted` (regular expressions)."""
        ran = self.world.kubectl(*command.split(), stdin=stdin)
        self.count += 1
        missing = [text for text in expected if not re.search(text, ran.all, re.MULTILINE)]
        if ran.code != code or missing:
            self.wrong.append(f"$ kubectl {command}\nexit {ran.code}, without {missing}:\n{ran.all}")
        return ran.out.strip()


def test_a_day_with_kubectl(tmp_path: Path) -> None:
    with a_served_world(tmp_path, "--speed", "60") as world:
        day = Day(world)
        _deploy(day)
        pod = _look(day)
        _debug(day, pod)
        _serve(day)
        _change(day, pod)
        _housekeeping(day)
        _account(day)
        assert not day.wrong, "\n\n".join(day.wrong)
        assert day.count >= 24


def _deploy(day: Day) -> None:
    """Create the base model, then the adapters, as in the design document."""
    day.does("version", r"Server Version: v1\.")
    day.does("cluster-info", "control plane.* is running at")
    day.does("api-resources", r"^modeladapters +ma +model.aibrix.ai/v1alpha1 +true +ModelAdapter")
    day.does("explain modeladapter.spec.replicas", "FIELD: replicas <integer>", "On how many pods")
    day.does(f"apply -f {MANIFESTS / 'base.yaml'}", f"deployment.apps/{BASE} created", f"service/{BASE} created")
    day.does(f"rollout status deployment/{BASE} --timeout=50s", "successfully rolled out")
    day.does(f"apply -f {MANIFESTS / 'adapter.yaml'}", f"modeladapter.model.aibrix.ai/{ADAPTER} created")
    day.does(f"apply -f {MANIFESTS / 'adapter.yaml'}", "unchanged")
    day.does(f"apply --server-side -f {MANIFESTS / 'adapter-reliability-demo.yaml'}", "serverside-applied")
    for name in (ADAPTER, "reliability-demo-lora"):
        day.does(f"wait --for=jsonpath={{.status.phase}}=Running modeladapter/{name} --timeout=50s", "condition met")


def _look(day: Day) -> str:
    """Read objects."""
    day.does("get modeladapters -o wide", r"^NAME +PHASE +DESIRED +READY", rf"^{ADAPTER} +Running +3 +3 +3 ")
    day.does(f"describe modeladapter {ADAPTER}", r"Phase: +Running", "is ready", r"Normal +Loaded +.*lora-controller")
    day.does(f"get modeladapter {ADAPTER} -o yaml", "^kind: ModelAdapter", "phase: Running")
    day.does(f"get svc {ADAPTER}", r"ClusterIP +None")
    day.does(f"get svc,endpointslices -l model.aibrix.ai/name={ADAPTER}", "^service/", r"^endpointslice.*10\.244\.")
    day.does("get endpointslices", ADAPTER)
    day.does("get events --field-selector involvedObject.kind=ModelAdapter", rf"Loaded +modeladapter/{ADAPTER}")
    day.does("get nodes -o wide", r"^node-0 +Ready")
    day.does("get all", "^pod/", "^service/", "^deployment.apps/", "^replicaset.apps/")
    pods = day.does(f"get pods -l model.aibrix.ai/name={BASE} -o name", "^pod/").split()
    return pods[0].removeprefix("pod/")


def _debug(day: Day, pod: str) -> None:
    """Read logs, run commands in pods, read secrets."""
    day.does(f"describe pod {pod}", r"Status: +Running", r"lora-twin/address: 127\.244\.", r"Liveness: +http-get")
    day.does(f"logs {' '.join(MANAGER)}", "Successfully loaded adapter on pod")
    day.does(f"logs {pod} -c vllm-openai", "Starting vLLM API server", "Loaded new LoRA adapter")
    day.does(f"logs {pod} -c aibrix-runtime", "started")
    day.does(f"logs {pod} -c nothing", "container nothing is not valid", code=1)
    day.does(f"exec {pod} -c vllm-openai -- curl -s http://localhost:8000/v1/models", f'"id":"{ADAPTER}"')
    day.does(f"exec {pod} -c aibrix-runtime -- curl http://localhost:8000/health")
    day.does(f"exec {pod} -c vllm-openai -- bash", "executable file not found", code=1)
    day.does("apply -f -", "secret/s3-credentials created", stdin=SECRET)
    day.does("get secret s3-credentials -o yaml", "aws_access_key_id: QUtJQUlPU0ZPRE5ON0VYQU1QTEU=")
    day.does("get deployment aibrix-controller-manager -n aibrix-system -o yaml", "- --enable-runtime-sidecar")
    followed = subprocess.Popen(
        [str(Path(sys.executable).with_name("kubectl")), "logs", *MANAGER, "-f", "--tail=1"],
        env=dict(day.world.environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert followed.stdout is not None
    assert "lora_controller" in followed.stdout.readline()
    followed.terminate()
    followed.communicate()


def _serve(day: Day) -> None:
    """Send a request through the gateway, as in the design document."""
    service = "svc/envoy-aibrix-system-aibrix-eg-903790dc -n envoy-gateway-system"
    address = day.does(f"get {service} -o=jsonpath={{.status.loadBalancer.ingress[0].ip}}", r"^127\.")
    port = day.does(f"get {service} -o=jsonpath={{.spec.ports[0].port}}", r"^\d+$")
    url = f"http://{address}:{port}/v1/completions"
    for model in (BASE, ADAPTER):
        body = {"model": model, "prompt": "San Francisco is a", "max_tokens": 16, "temperature": 0}
        answer = httpx.post(url, json=body, trust_env=False, timeout=30)
        assert (answer.status_code, answer.json()["model"]) == (200, model)
    unknown = httpx.post(url, json={"model": "unknown", "prompt": "x"}, trust_env=False)
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (404, "The model `unknown` does not exist.")


def _change(day: Day, pod: str) -> None:
    """Delete pods, scale, change images and edit specs."""
    day.does(f"delete pod {pod}", f'pod "{pod}" deleted')
    day.does(f"rollout status deployment/{BASE} --timeout=50s", "successfully rolled out")
    day.does("scale modeladapter/reliability-demo-lora --replicas=2", "scaled")
    day.does("wait --for=jsonpath={.status.readyReplicas}=2 ma/reliability-demo-lora --timeout=50s", "condition met")
    day.does(f"scale deployment/{BASE} --replicas=4", "scaled")
    day.does(f"wait --for=jsonpath={{.status.readyReplicas}}=4 deployment/{BASE} --timeout=50s", "condition met")
    day.does('patch ma reliability-demo-lora --type=merge -p {"spec":{"replicas":1}}', "patched")
    day.does(f"label ma {ADAPTER} team=search", "labeled")
    day.does(f"annotate ma {ADAPTER} note=x", "annotated")
    day.does("get ma -l team=search -o name", ADAPTER)
    day.does(f"set env deployment/{BASE} -c vllm-openai A=B", "env updated")
    day.does(f"rollout history deployment/{BASE}", r"^2 ")
    editing = {**day.world.environment, "KUBE_EDITOR": "sed -i /enable-runtime-sidecar/d"}
    replace(day.world, environment=editing).kubectl("edit", "-n", "aibrix-system", MANAGER[2])
    day.does("get deployment aibrix-controller-manager -n aibrix-system -o jsonpath={..args}", "health-probe")
    assert "enable-runtime-sidecar" not in day.does("get deployment aibrix-controller-manager -n aibrix-system -o yaml")
    day.does("rollout status deployment/aibrix-controller-manager -n aibrix-system --timeout=50s", "rolled out")
    day.does("apply -f -", 'strict decoding error: unknown field "spec.replica"', code=1, stdin=_misspelled())


def _misspelled() -> str:
    return (MANIFESTS / "adapter-reliability-demo.yaml").read_text().replace("replicas:", "replica:")


def _housekeeping(day: Day) -> None:
    """Use namespaces and config, show a diff, and delete everything."""
    day.does("get leases", r"lora-controller +lora-controller-\S*")
    day.does("create namespace staging", "namespace/staging created")
    day.does("create configmap settings --from-literal=a=b -n staging", "configmap/settings created")
    day.does("create deployment web --image=nginx -n staging --dry-run=server -o yaml", "replicas: 1")
    day.does("get deployments -n staging", "No resources found in staging namespace")
    day.does(f"diff -f {MANIFESTS / 'adapter.yaml'}")
    day.does("delete namespace staging", 'namespace "staging" deleted')
    day.does("get --raw /readyz", "^ok$")
    day.does("cordon node-1", "node/node-1 cordoned")
    day.does("get nodes", r"^node-1 +Ready,SchedulingDisabled")
    day.does("uncordon node-1", "node/node-1 uncordoned")
    day.does("delete modeladapter reliability-demo-lora", "deleted")
    day.does("get modeladapter reliability-demo-lora", r"NotFound.*not found", code=1)


def _account(day: Day) -> None:
    """Check access control."""
    day.does("auth whoami", "kubernetes-admin")
    day.does("auth can-i delete pods", "^yes$")
    day.does("create serviceaccount robot", "created")
    day.does("create role reader --verb=get,list --resource=pods", "created")
    day.does("create rolebinding robot --role=reader --serviceaccount=default:robot", "created")
    robot = "--as=system:serviceaccount:default:robot"
    day.does(f"auth can-i list pods {robot}", "^yes$")
    day.does(f"auth can-i delete pods {robot}", "^no$", code=1)
    day.does(f"get secrets {robot}", 'Forbidden.*cannot list resource "secrets"', code=1)
    day.does("create token robot", r"^\S{20,}$")
