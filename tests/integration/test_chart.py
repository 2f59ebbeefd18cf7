"""What the chart renders, and which values it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import binaries
from tests.harness.chart import CHART
from trainyard import settings

pytestmark = pytest.mark.timeout(120)


def template(*values: str) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values, as `--set` takes them."""
    helm: Path = binaries.ensure("helm")["helm"]
    argv = [str(helm), "template", "trainyard", str(CHART), "--kube-version=1.34.4"]
    return subprocess.run(
        [*argv, *(f"--set-json={value}" for value in values)], capture_output=True, text=True, check=False
    )


def objects(kind: str, *values: str) -> list[dict[str, Any]]:
    done = template(*values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == kind]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        pytest.param("ClusterRole", (), id="in all namespaces"),
        pytest.param("Role", ('settings.namespaces=["team"]',), id="in some namespaces"),
    ],
)
def test_the_operator_may_do_with_pods_what_it_does_and_no_more(kind: str, values: tuple[str, ...]) -> None:
    (role,) = [one for one in objects(kind, *values) if one["metadata"]["name"] == "trainyard"]
    verbs: dict[str, list[str]] = {}
    for rule in role["rules"]:
        for resource in rule["resources"]:
            verbs[resource] = [*verbs.get(resource, []), *rule["verbs"]]
    assert sorted(verbs["pods"]) == ["create", "delete", "get", "list", "patch", "watch"]
    assert verbs["trainingjobs"] == ["get", "list", "watch", "create", "patch", "delete"]
    assert verbs["experiments"] == ["get", "list", "watch", "create", "delete"]
    assert verbs["mlmodels"] == ["get", "list", "watch"]
    assert verbs["datasets"] == ["get", "list", "watch", "create", "patch"]
    assert verbs["persistentvolumeclaims"] == ["get", "create", "patch", "delete"]
    assert verbs["services"] == verbs["podgroups"] == ["get", "create", "delete"]
    assert verbs["trainingjobs/status"] == ["patch"]
    assert verbs["secrets"] == ["get"]
    assert verbs["events"] == ["create", "list"]
    assert "nodes" not in verbs


@pytest.mark.parametrize(
    "values", [(), ('settings.namespaces=["team"]',)], ids=["everywhere", "in one namespace"]
)
def test_looking_at_a_node_is_a_role_of_its_own_that_can_be_left_out(values: tuple[str, ...]) -> None:
    (role,) = named(objects("ClusterRole", *values), "trainyard-nodes")
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [(["nodes"], ["get"])]
    (binding,) = named(objects("ClusterRoleBinding", *values), "trainyard-nodes")
    assert [subject["name"] for subject in binding["subjects"]] == ["trainyard"]
    assert not named(objects("ClusterRole", *values, "rbac.nodes=false"), "trainyard-nodes")


def test_read_only_is_in_force_where_the_operator_works_and_can_be_left_out() -> None:
    def binding(*values: str) -> dict[str, Any]:
        (one,) = objects("ValidatingAdmissionPolicyBinding", *values)
        return dict(one["spec"])

    everywhere = {"policyName": "trainyard-read-only", "validationActions": ["Deny"]}
    assert binding() == everywhere
    some = binding('settings.namespaces=["a","b"]')["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert some == [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}]
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert not objects(kind, "readOnly.enabled=false")


def test_read_only_lets_the_releases_own_accounts_through() -> None:
    accounts = ('fullnameOverride="ours"', 'serviceAccount.name="worker"')
    (policy,) = objects("ValidatingAdmissionPolicy", *accounts)
    (exempt,) = [
        one["expression"]
        for one in policy["spec"]["matchConditions"]
        if "request.userInfo" in one["expression"]
    ]
    for account in ("worker", "ours-release"):
        assert f"'system:serviceaccount:default:{account}'" in exempt
    names = {one["metadata"]["name"] for one in objects("ServiceAccount", *accounts)}
    assert names == {"worker", "ours-release"}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param('settings.logs.store="file://relative"', "store", id="logs in a relative folder"),
        pytest.param('settings.logs.store="s3://a:b@logs"', "store", id="credentials in an address"),
        pytest.param('settings.logs.maxSize="much"', "maxSize", id="a size that is none"),
        pytest.param("settings.logs.maxStreams=-1", "maxStreams", id="fewer streams than none"),
        pytest.param('logs.secretRef="A b"', "secretRef", id="a Secret that cannot be"),
        pytest.param("settings.logs.keep=3", "keep", id="a setting of logs that there is none of"),
        pytest.param('settings.callbacks.allowedCIDRs=["lan"]', "allowedCIDRs", id="a network by its name"),
        pytest.param("settings.callbacks.allowed=[]", "allowed", id="a setting of callbacks of none"),
        pytest.param("settings.tuner.image=7", "tuner", id="an image that is a number"),
        pytest.param("settings.tuner.replicas=2", "replicas", id="a setting of the tuner of none"),
        pytest.param('settings.logLevel="LOUD"', "logLevel", id="a log level of none"),
        pytest.param('settings.imagePullPolicy="Sometimes"', "imagePullPolicy", id="a pull policy of none"),
        pytest.param('settings.namespaces=["a.b"]', "namespaces", id="a namespace that cannot be"),
    ],
)
def test_wrong_values_are_refused_by_their_name(value: str, names: str) -> None:
    done = template(value)
    assert done.returncode != 0
    assert names in done.stderr


def test_right_values_of_logs_are_rendered() -> None:
    values = ('settings.logs.store="file:///var/lib/trainyard/logs"', 'settings.logLevel="CRITICAL"')
    (config,) = objects("ConfigMap", *values)
    rendered = yaml.safe_load(config["data"]["settings.yaml"])
    assert rendered["logs"] == {"store": "file:///var/lib/trainyard/logs"}
    assert rendered["logLevel"] == "CRITICAL"


@pytest.mark.parametrize("name", ["tuner", "agent"])
def test_what_the_chart_says_of_a_helpers_pods_is_what_the_operator_reads(tmp_path: Path, name: str) -> None:
    def said(*values: str) -> Any:
        (config,) = objects("ConfigMap", *values)
        file = tmp_path / "settings.yaml"
        file.write_text(config["data"]["settings.yaml"])
        return getattr(settings.load(file), name)

    section = {"tuner": settings.Tuner, "agent": settings.Agent}[name]
    assert said() == section()
    given = said(
        f'settings.{name}.image="registry/{name}:2"',
        f'settings.{name}.requests={{"cpu":"1"}}',
        f'settings.{name}.limits={{"memory":"2Gi"}}',
        f'settings.{name}.nodeSelector={{"disk":"ssd"}}',
        f'settings.{name}.tolerations=[{{"key":"gpu","operator":"Exists"}}]',
    )
    assert given == section(
        image=f"registry/{name}:2",
        requests={"cpu": "1"},
        limits={"memory": "2Gi"},
        node_selector={"disk": "ssd"},
        tolerations=({"key": "gpu", "operator": "Exists"},),
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param((), None, id="a volume without a limit"),
        pytest.param(("logs.persistence.enabled=true",), "10Gi", id="a claim of ours"),
        pytest.param(('logs.emptyDirSizeLimit="2Gi"',), "2Gi", id="an emptyDir with a limit"),
        pytest.param(
            ("logs.persistence.enabled=true", 'settings.logs.maxSize="1Gi"'),
            "1Gi",
            id="what the settings say",
        ),
        pytest.param(
            ("logs.persistence.enabled=true", 'logs.persistence.existingClaim="logs"'),
            None,
            id="another's claim",
        ),
        pytest.param(
            ("logs.persistence.enabled=true", 'settings.logs.store="s3://logs/a"'),
            "10Gi",
            id="the spool of an object store",
        ),
        pytest.param(
            ('logs.emptyDirSizeLimit="2Gi"', 'settings.logs.store="file:///var/lib/trainyard/logs/here"'),
            "2Gi",
            id="a folder in the volume",
        ),
        pytest.param(
            (
                "logs.persistence.enabled=true",
                'settings.logs.store="s3://logs/a"',
                'settings.logs.spool="/tmp/logs"',
            ),
            None,
            id="a spool elsewhere",
        ),
    ],
)
def test_the_folder_of_logs_grows_no_larger_than_its_volume(
    values: tuple[str, ...], expected: str | None, tmp_path: Path
) -> None:
    (config,) = objects("ConfigMap", *values)
    rendered = tmp_path / "settings.yaml"
    rendered.write_text(config["data"]["settings.yaml"])
    assert (yaml.safe_load(rendered.read_text()).get("logs") or {}).get("maxSize") == expected
    size = settings.load(rendered).logs.max_size
    assert size == (0 if expected is None else int(expected.removesuffix("Gi")) << 30)


@pytest.mark.parametrize("option", ["secret", "token", "account_key", "client_kwargs.aws_secret_access_key"])
def test_credentials_among_the_options_of_the_log_store_are_refused_with_what_to_do(option: str) -> None:
    done = template(f'settings.logs.storeOptions.{option}="hush"')
    assert done.returncode != 0
    assert option.rpartition(".")[2] in done.stderr
    assert "hush" not in done.stderr
    assert "given by an environment variable in the Secret that logs.secretRef names" in done.stderr


def test_a_path_to_a_token_is_an_option_of_the_log_store() -> None:
    path = "/etc/trainyard-logs/key.json"
    (config,) = objects("ConfigMap", f'settings.logs.storeOptions.token="{path}"')
    assert yaml.safe_load(config["data"]["settings.yaml"])["logs"] == {"storeOptions": {"token": path}}


def test_whatever_changes_the_rendered_settings_is_a_new_pod() -> None:
    def checksum(*values: str) -> str:
        (deployment,) = objects("Deployment", *values)
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    found = [
        checksum(),
        checksum('settings.logLevel="DEBUG"'),
        checksum('logs.emptyDirSizeLimit="2Gi"'),
        checksum('catalogConfigMaps=["mine"]'),
    ]
    assert len(set(found)) == len(found)
    assert checksum() == found[0]
    assert checksum('resources.limits.memory="1Gi"') == found[0]


def test_the_credentials_of_the_log_store_come_from_a_secret() -> None:
    (deployment,) = objects("Deployment", 'logs.secretRef="log-store"', 'settings.logs.store="s3://logs/a"')
    pod = deployment["spec"]["template"]["spec"]
    (operator,) = pod["containers"]
    assert operator["envFrom"] == [{"secretRef": {"name": "log-store"}}]
    assert {"name": "log-store", "mountPath": "/etc/trainyard-logs", "readOnly": True} in operator[
        "volumeMounts"
    ]
    assert {"name": "log-store", "secret": {"secretName": "log-store"}} in pod["volumes"]


def named(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [one for one in found if one["metadata"]["name"] == name]


def is_hook(one: dict[str, Any]) -> bool:
    return (one["metadata"].get("annotations") or {}).get("helm.sh/hook") == "pre-delete"


def test_the_hook_may_take_finalizers_off_and_stop_the_operator_and_no_more() -> None:
    (everywhere,) = named(objects("ClusterRole"), "trainyard-release")
    (here,) = named(objects("Role"), "trainyard-release-stop")
    assert [(rule["resources"], rule["verbs"]) for rule in everywhere["rules"]] == [
        (["pods"], ["list", "patch"]),
        (["trainingjobs", "datasets", "experiments", "mlmodels"], ["list", "patch"]),
    ]
    assert [(rule["resources"], rule.get("resourceNames"), rule["verbs"]) for rule in here["rules"]] == [
        (["deployments"], ["trainyard"], ["get"]),
        (["deployments/scale"], ["trainyard"], ["patch"]),
        (["pods"], None, ["list"]),
    ]
    assert is_hook(everywhere)
    assert is_hook(here)


def test_in_some_namespaces_the_hook_keeps_to_them_and_needs_none_that_has_gone() -> None:
    some = 'settings.namespaces=["a","b"]'
    assert not named(objects("ClusterRole", some), "trainyard-release")
    roles = named(objects("Role", some), "trainyard-release")
    assert [role["metadata"]["namespace"] for role in roles] == ["a", "b"]
    assert not any(is_hook(role) for role in roles), "Helm cannot create a hook in a namespace that has gone"
    (job,) = objects("Job", some)
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[-3:] == ["--namespace=a", "--namespace=b", "--skip-forbidden"]


def test_the_hooks_pod_is_not_taken_for_the_operators_and_is_restricted_as_that_is() -> None:
    (job,), (deployment,), (service,) = objects("Job"), objects("Deployment"), objects("Service")
    hook, operator = job["spec"]["template"], deployment["spec"]["template"]
    for selector in (deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]):
        assert not selector.items() <= hook["metadata"]["labels"].items()
    assert hook["spec"]["securityContext"] == operator["spec"]["securityContext"]
    (hooks,), (operators,) = hook["spec"]["containers"], operator["spec"]["containers"]
    assert hooks["securityContext"] == operators["securityContext"]
    assert hooks["image"] == operators["image"]


def test_the_hook_can_be_left_out_and_its_time_be_set() -> None:
    assert not objects("Job", "release.enabled=false")
    assert not named(objects("ClusterRole", "release.enabled=false"), "trainyard-release")
    (job,) = objects("Job", "release.timeoutSeconds=60")
    assert job["spec"]["activeDeadlineSeconds"] == 60
    assert "--timeout=30" in job["spec"]["template"]["spec"]["containers"][0]["args"]


def test_without_roles_of_the_charts_the_hook_runs_as_the_operator() -> None:
    (job,) = objects("Job", "rbac.create=false")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "trainyard"
    assert [one["metadata"]["name"] for one in objects("ServiceAccount", "rbac.create=false")] == [
        "trainyard"
    ]
