"""The work pools' templates: a real server takes them, and the workers make of them what they promise."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.workers.process import ProcessJobConfiguration

import deployments

FOLDER = Path(deployments.__file__).parent / "work_pools"
TEMPLATES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
KINDS = {f"{kind}-{device}" for kind in ("process", "docker", "kubernetes") for device in ("cpu", "gpu")}


def configuration(name: str, **variables: object) -> Any:
    """What a worker makes of a template for a run."""
    if name.startswith("process"):
        kind: Any = ProcessJobConfiguration
    elif name.startswith("docker"):
        kind = pytest.importorskip("prefect_docker.worker").DockerWorkerJobConfiguration
    else:
        kind = pytest.importorskip("prefect_kubernetes.worker").KubernetesWorkerJobConfiguration
    made = asyncio.run(kind.from_template_and_values(TEMPLATES[name], variables))
    made.prepare_for_flow_run(FlowRun(flow_id=uuid.uuid4(), name="a-run"))
    return made


def pod_of(made: Any) -> dict[str, Any]:
    return made.job_manifest["spec"]["template"]["spec"]


def test_there_is_one_for_each_kind_of_infrastructure_and_device():
    assert TEMPLATES.keys() == KINDS


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_server_makes_a_pool_of_a_template_and_gives_it_back(name, prefect_server):
    pool = WorkPoolCreate(
        name=f"{name}-{uuid.uuid4()}", type=name.split("-")[0], base_job_template=TEMPLATES[name], concurrency_limit=2
    )
    with get_client(sync_client=True) as client:
        made = client.create_work_pool(pool)
        assert made.base_job_template == TEMPLATES[name]
        assert made.concurrency_limit == 2
        client.delete_work_pool(made.name)


def test_a_server_refuses_a_template_with_a_variable_that_is_not_described(prefect_server):
    broken = json.loads(json.dumps(TEMPLATES["docker-gpu"]))
    del broken["variables"]["properties"]["memory"]
    with get_client(sync_client=True) as client, pytest.raises(Exception, match="422"):
        client.create_work_pool(WorkPoolCreate(name="broken", type="docker", base_job_template=broken))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_who_starts_a_run_chooses_no_command_and_the_run_shows_that_it_is_alive(name):
    made = configuration(name, command="rm -r /", image="someone/else")
    assert "rm" not in made.command
    assert getattr(made, "image", "pipeline-flows:cpu").startswith("pipeline-flows:")
    environment = made.env if not name.startswith("kubernetes") else environment_of(pod_of(made))
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def environment_of(pod: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}


def test_a_process_for_the_cpu_sees_no_gpu_and_one_for_a_gpu_sees_its_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert configuration("process-cpu").env["CUDA_VISIBLE_DEVICES"] == ""
    assert configuration("process-gpu").env["CUDA_VISIBLE_DEVICES"] == "3"


def test_a_container_for_a_gpu_asks_for_one_and_for_shared_memory_and_keeps_models_in_a_volume():
    made = configuration("docker-gpu", memory="64g")
    docker_types = pytest.importorskip("docker.types")
    (request,) = made.container_create_kwargs["device_requests"]
    asked = docker_types.DeviceRequest(**request)
    assert (asked.driver, asked.count, asked.capabilities) == ("nvidia", 1, [["gpu"]])
    assert made.container_create_kwargs["shm_size"] == "8g"
    assert made.mem_limit == made.memswap_limit == "64g"
    assert "pipeline-flows-cache:/cache" in made.volumes
    assert not made.privileged
    assert "device_requests" not in configuration("docker-cpu").container_create_kwargs


def test_a_pod_for_a_gpu_has_one_on_a_node_that_has_some_and_shared_memory_and_the_models_volume():
    pod = pod_of(configuration("kubernetes-gpu", memory="64Gi", cpu="8"))
    container = pod["containers"][0]
    assert container["resources"] == {
        "requests": {"cpu": "8", "memory": "64Gi"},
        "limits": {"memory": "64Gi", "nvidia.com/gpu": 1},
    }
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes[mounted["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    assert "persistentVolumeClaim" in volumes[mounted["/cache"]]
    assert pod["securityContext"]["runAsNonRoot"]
    assert environment_of(pod)["HF_HOME"].startswith("/cache/")


def test_a_pod_for_the_cpu_asks_for_no_gpu_and_takes_its_token_from_a_secret():
    pod = pod_of(configuration("kubernetes-cpu"))
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["limits"]
    assert "nodeSelector" not in pod
    (token,) = [entry for entry in pod["containers"][0]["env"] if entry["name"] == "HF_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"]["name"] == "pipeline-flows"
    assert "value" not in token
