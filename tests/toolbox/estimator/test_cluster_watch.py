"""看着集群里别的进程：断了的 ps 说出来，从没来过的 worker 点名。"""

import socket
import time

import pytest

from toolbox.estimator import cluster_watch, local_cluster
from toolbox.estimator.tf_config import Task


def server(address):
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(cluster_watch, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(cluster_watch, "SILENT_SECONDS", 0.3)
    return local_cluster.addresses(chief=1, worker=2, ps=1)


def shown_until(text, capsys, seconds=30):
    shown, deadline = "", time.monotonic() + seconds
    while text not in shown:
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
        shown += capsys.readouterr().out
    return shown


def test_a_dead_parameter_server_is_reported_once_and_so_is_its_return(cluster, capsys):
    ps = server(cluster["ps"][0])
    watch = cluster_watch.WatchOthers(Task("worker", 0, cluster))
    ps.close()
    shown = shown_until("原样再启动它", capsys)
    time.sleep(0.5)
    with server(cluster["ps"][0]):
        shown += shown_until("又连上了", capsys)
    watch.finish()
    assert shown.count(f"连不上 ps（{cluster['ps'][0]}）") == 1


def test_the_chief_names_workers_that_never_came(cluster, capsys):
    with server(cluster["ps"][0]):
        watch = cluster_watch.WatchOthers(Task("chief", 0, cluster))
        with server(cluster["worker"][0]):
            time.sleep(1)
        watch.finish()
    shown = capsys.readouterr().out
    assert "worker 1" in shown and "始终没有来" in shown and "worker 0" not in shown and "ps" not in shown
