"""Metrics of all workers of a machine and of the memory of its GPUs, where Prometheus finds them."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


@contextmanager
def serve_metrics(port: int, folder: str) -> Iterator[int]:
    """Serve what the processes with ``PROMETHEUS_MULTIPROC_DIR=folder`` have counted, on ``port``; 0 finds a free one.

    Yields:
        The port.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    registry.register(DeviceMemory())
    server, thread = start_http_server(port, registry=registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class DeviceMemory(Collector):
    """Bytes in use and in all of each GPU that NVIDIA's library sees; nothing where there is no such library."""

    def collect(self) -> Iterator[Metric]:
        """Ask the GPUs."""
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception:  # not installed, or no driver
            return
        used = GaugeMetricFamily("pipeline_flows_device_memory_used_bytes", "Memory in use", labels=["device"])
        total = GaugeMetricFamily("pipeline_flows_device_memory_bytes", "Memory of the device", labels=["device"])
        try:
            for index in range(pynvml.nvmlDeviceGetCount()):
                memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(index))
                used.add_metric([f"cuda:{index}"], memory.used)
                total.add_metric([f"cuda:{index}"], memory.total)
        finally:
            pynvml.nvmlShutdown()
        yield used
        yield total
