#!/usr/bin/python3
"""Checks the YAML files of packaging/examples: manifests of Kubernetes, OpenShift and Tekton, the Butane file, and the
workflows of GitHub.

machineosconfig.json is the schema of MachineOSConfig v1 without its descriptions, from the CRD of openshift/api
(machineconfiguration.openshift.io, machineosconfigs). The CRD's CEL rules are implemented here.
"""

import json
import pathlib
import re
import subprocess
import sys
import urllib.parse

import yaml

HERE = pathlib.Path(__file__).parent
TOP = HERE.parents[2]
EXAMPLES = TOP / "packaging" / "examples"
GROUP = "machineconfiguration.openshift.io/v1"
PUSH_SPEC = r"([a-zA-Z0-9-]+\.)+[a-zA-Z0-9-]+(:[0-9]{2,5})?(/[a-zA-Z0-9-_]{1,61})*/[a-zA-Z0-9-_.]+:[a-zA-Z0-9._-]+"
TYPES = {"object": dict, "array": list, "string": str}


def conforms(value, schema, at=""):
    """Returns the violations of the schema. Unknown fields count, because the cluster prunes them."""
    kind = TYPES[schema["type"]]
    if not isinstance(value, kind):
        return [f"{at}: expected {schema['type']}, found {value!r}"]
    wrong = []
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{at}: {value!r} is none of {schema['enum']}")
    if kind is not dict and not schema.get("minLength", schema.get("minItems", 0)) <= len(value) <= schema.get(
        "maxLength", schema.get("maxItems", len(value))
    ):
        wrong.append(f"{at}: its length is {len(value)}")
    if kind is list:
        for index, item in enumerate(value):
            wrong += conforms(item, schema["items"], f"{at}[{index}]")
    if kind is dict and "properties" in schema:
        wrong += [f"{at}.{name}: missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            known = schema["properties"].get(name)
            wrong += conforms(item, known, f"{at}.{name}") if known else [f"{at}.{name}: no such field"]
    return wrong


def machine_os_config(text):
    config = yaml.safe_load(text)
    wrong = conforms(config, json.loads((HERE / "machineosconfig.json").read_text()))
    if wrong:
        return wrong
    spec = config["spec"]
    if (config.get("apiVersion"), config.get("kind")) != (GROUP, "MachineOSConfig"):
        wrong.append("apiVersion and kind")
    if config["metadata"]["name"] != spec["machineConfigPool"]["name"]:
        wrong.append("its name is not that of its pool")
    if not re.fullmatch(PUSH_SPEC, spec["renderedImagePushSpec"]):
        wrong.append("renderedImagePushSpec")
    containerfile = (EXAMPLES / "okd-scos" / "Containerfile").read_text()
    final = containerfile[containerfile.index("FROM configs AS final") :].strip()
    # The cluster pulls the tool's image from a registry; the default of ARG TOOL is a local image.
    content = re.compile(r"FROM (?!localhost/)\S+/ostree-kernel:\S+ AS ostree-kernel\n" + re.escape(final))
    if [bool(content.fullmatch(it["content"])) for it in spec["containerFile"]] != [True]:
        wrong.append("its content is not what okd-scos/Containerfile builds")
    return wrong


def machine_config(text, others=None):
    config = yaml.safe_load(text)
    wrong = []
    if (config["apiVersion"], config["kind"]) != (GROUP, "MachineConfig"):
        wrong.append("apiVersion and kind")
    if not config["metadata"]["labels"].get("machineconfiguration.openshift.io/role"):
        wrong.append("no role")
    if not re.fullmatch(r"[a-z0-9./-]+@sha256:[a-f0-9]{64}", config["spec"]["osImageURL"]):
        wrong.append("osImageURL by its digest was expected")
    if set(config["spec"]) - {"osImageURL"} != (set(others) if others else set()):
        wrong.append(f"osImageURL and {others or 'nothing else'} was expected")
    return wrong


def unit_lines(name, key):
    lines = (TOP / "packaging" / "systemd" / name).read_text().splitlines()
    return [value for line in lines if line.startswith(f"{key}=") for value in line.removeprefix(f"{key}=").split()]


def gate_config(text):
    """Checks the MachineConfig of the gate: its image, and its policy, a drop-in that sets a variable of the units."""
    wrong = machine_config(text, others={"config"})
    files = yaml.safe_load(text)["spec"]["config"]["storage"]["files"]
    for file in files:
        kind, _, data = file["contents"]["source"].partition(",")
        policy = urllib.parse.unquote(data)
        options = re.fullmatch(r"\[Service\]\nEnvironment=(\w+)=(--on-error=refuse|--warn-only)\n", policy)
        if kind != "data:" or file["mode"] != 0o644 or not options:
            wrong.append(f"{file['path']}: {policy!r}")
        elif f"{options[1]}=" not in unit_lines("ostree-kernel-gate.service", "Environment"):
            wrong.append(f"the units have no {options[1]}")
    return wrong


def gate_butane(text):
    """Checks that Butane's links are those that `systemctl enable` creates."""
    config = yaml.safe_load(text)
    unit = "ostree-kernel-gate.service"
    links = {it["path"]: it["target"] for it in config["storage"]["links"]}
    wanted = unit_lines(unit, "WantedBy")
    expected = {f"/etc/systemd/system/{it}.wants/{unit}": f"/usr/lib/systemd/system/{unit}" for it in wanted}
    return [] if links == expected else [f"links {links}, expected {expected}"]


def script(name, text):
    text = re.sub(r"\$\{\{.*?\}\}", "x", text)
    shell = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    return [f"{name}: {shell.stderr}"] if shell.returncode else []


def workflow(text):
    jobs = yaml.safe_load(text)["jobs"]
    wrong = []
    for job in jobs.values():
        for step in job["steps"]:
            wrong += script(step.get("name"), step.get("run", ""))
    return wrong


def matrix(text):
    wrong = workflow(text)
    for job in yaml.safe_load(text)["jobs"].values():
        if set(job["strategy"]["matrix"]) != {"kernel", "base"}:
            wrong.append("the matrix")
    return wrong


def verifying(text):
    """Checks the job and the task that verify an image: objects of the cluster, and their shell lines."""
    wrong = []
    accounts, containers = set(), []
    for item in yaml.safe_load_all(text):
        if not (item.get("apiVersion") and item.get("kind") and item["metadata"].get("name")):
            wrong.append(f"an object without apiVersion, kind or name: {item}")
        if item["kind"] == "ServiceAccount":
            accounts.add(item["metadata"]["name"])
        if item["kind"] == "CronJob":
            pod = item["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            containers += [(it["name"], it["args"][0]) for it in pod["containers"]]
            if pod["serviceAccountName"] not in accounts:
                wrong.append("its service account is not made")
        if item["kind"] == "Task":
            containers += [(it["name"], it["script"]) for it in item["spec"]["steps"]]
    for name, text in containers:
        wrong += script(name, text)
        if "ostree-kernel verify" not in text:
            wrong.append(f"{name} does not verify")
    return wrong if containers else ["nothing verifies"]


def broken():
    """Yields a message for each of these faults of machineosconfig.yaml that machine_os_config() does not find."""
    good = (EXAMPLES / "okd-scos" / "machineosconfig.yaml").read_text()
    for find, put in [
        ("imageBuilderType: Job", "imageBuilderType: PodImageBuilder"),
        ("containerfileArch: AMD64", "containerfileArch: amd64"),
        ("renderedImagePushSecret:", "renderedImageSecret:"),
        ("    name: worker\n", "    name: master\n"),
        ("scos:worker", "scos"),
        ("content: |-", "contents: |-"),
        ("ostree-kernel replace", "#" * 4096 + " replace"),
    ]:
        assert find in good, find
        if not machine_os_config(good.replace(find, put, 1)):
            yield f"machineosconfig.yaml with {put[:40]!r} was taken for good"


def main():
    wrong = list(broken())
    for name, judge in [
        ("okd-scos/machineosconfig.yaml", machine_os_config),
        ("okd-scos/machineconfig.yaml", machine_config),
        ("gate/machineconfig.yaml", gate_config),
        ("gate/gate.bu", gate_butane),
        ("github-actions/kernels.yaml", matrix),
        ("github-actions/promote.yaml", workflow),
        ("verify/cronjob.yaml", verifying),
        ("verify/task.yaml", verifying),
    ]:
        wrong += [f"{name}: {it}" for it in judge((EXAMPLES / name).read_text())]
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))


main()
