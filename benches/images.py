#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The Python part of benches/images.

`images.py layout TREE MB` writes an OCI layout, `images.py measure NAME PROGRAM DIR` prints the table.
"""
import hashlib, io, json, os, random, shutil, subprocess, sys, tarfile, time


def layout(root, megabytes):
    """Writes an OCI layout with three layers: fillers, the tree, and more fillers. No check reads the fillers."""
    os.makedirs("layout/blobs/sha256", exist_ok=True)
    rng = random.Random(7)
    words = [bytes(rng.randrange(97, 123) for _ in range(rng.randrange(3, 9))) for _ in range(4000)]

    def blob(path):
        hasher = hashlib.sha256()
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                hasher.update(part)
        digest, size = hasher.hexdigest(), os.path.getsize(path)
        os.rename(path, "layout/blobs/sha256/" + digest)
        return {"digest": "sha256:" + digest, "size": size}

    def document(value):
        with open("layout/new", "w") as file:
            json.dump(value, file)
        return blob("layout/new")

    def filler(archive, name, count):
        while count > 0:
            size = rng.choice([300, 4000, 20000, 90000, 700000, 3000000])
            data = b" ".join(rng.choices(words, k=size // 6 + 1)) if rng.random() < 0.3 else rng.randbytes(size)
            entry = tarfile.TarInfo(f"usr/share/{name}/{count // 10000000}/file{count}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
            count -= len(data)

    def whole(archive):
        for dir, dirs, files in os.walk(root):
            dirs.sort()
            for name in sorted(dirs + files):
                path = os.path.join(dir, name)
                archive.add(path, os.path.relpath(path, root), recursive=False)

    half = megabytes * 500000
    layers = []
    for fill in (lambda it: filler(it, "one", half), whole, lambda it: filler(it, "two", half)):
        with tarfile.open("layout/new", "w", format=tarfile.PAX_FORMAT) as archive:
            fill(archive)
        layers.append(blob("layout/new"))
    config = document({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [it["digest"] for it in layers]}})
    of = "application/vnd.oci.image."
    manifest = document({
        "schemaVersion": 2, "mediaType": of + "manifest.v1+json", "config": {"mediaType": of + "config.v1+json", **config},
        "layers": [{"mediaType": of + "layer.v1.tar", **it} for it in layers],
    })
    entry = {"mediaType": of + "manifest.v1+json", **manifest, "annotations": {"org.opencontainers.image.ref.name": "big"}}
    with open("layout/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, file)
    with open("layout/oci-layout", "w") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')


def run(command, shell=False):
    """Returns the wall time and CPU time of a command in seconds, its peak resident memory in MiB, and its output."""
    start = time.monotonic()
    child = subprocess.Popen(command, shell=shell, stdout=subprocess.PIPE)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if os.waitstatus_to_exitcode(status) not in (0, 4):
        sys.exit(f"{command}: {status}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def measure(name, program, work):
    def best(command, runs=3, shell=False, before=lambda: None):
        results = []
        for _ in range(runs):
            before()
            results.append(run(command, shell))
        return min(it[0] for it in results), min(it[1] for it in results), max(it[2] for it in results), results[0][3]

    def manifest(tag):
        accept = "Accept: application/vnd.oci.image.manifest.v1+json"
        return json.loads(subprocess.run(["curl", "-sf", "-H", accept, f"http://{host}/v2/{path}/manifests/{tag}"], capture_output=True, check=True).stdout)

    host, path = name.split("/", 1)
    rows = []
    for tag in ("chunked", "gzip"):
        layers = manifest(tag)["layers"]
        size = sum(it["size"] for it in layers)
        verify = best([program, "verify", "--format", "json", f"docker://{name}:{tag}"])
        image = json.loads(verify[3])["image"]
        fetched = image["bytes_fetched"]
        rows.append((f"verify docker://, {tag}", verify, f"{fetched / 1e6:.1f} MB of {size / 1e6:.0f} MB ({100 * fetched / size:.1f} %), {image['requests']} requests"))
        urls = {it["digest"]: f"http://{host}/v2/{path}/blobs/{it['digest']}" for it in layers}
        largest = max(layers, key=lambda it: it["size"])
        if tag == "chunked":
            other = best(["curl", "-sf", "-r", f"0-{min(fetched, largest['size']) - 1}", "-o", "/dev/null", urls[largest["digest"]]])
            rows.append(("curl of as many bytes, one range", other, f"ratio {verify[0] / other[0]:.2f}"))
        else:
            files = " ".join(f"{work}/data/docker/registry/v2/blobs/sha256/{it['digest'][7:9]}/{it['digest'][7:]}/data" for it in layers)
            other = best(f"exec gzip -dc {files} >/dev/null", shell=True)
            rows.append(("gzip -dc of its layers", other, f"ratio {verify[0] / other[0]:.2f}"))

        def clean():
            for dir in ("copy", "unpacked"):
                shutil.rmtree(f"{work}/{dir}", ignore_errors=True)

        if tag == "gzip":
            way = "umoci unpack"
            unpack = f"skopeo copy --quiet --insecure-policy --src-tls-verify=false docker://{name}:{tag} oci:copy:it >&2 && umoci unpack --image copy:it unpacked >&2"
        else:
            # Debian's umoci cannot unpack zstd.
            way = "zstd -dc, tar -x"
            blobs = " ".join("copy/" + it["digest"][7:] for it in layers)
            unpack = f"skopeo copy --quiet --insecure-policy --src-tls-verify=false docker://{name}:{tag} dir:copy >&2 && mkdir -p unpacked/rootfs && for blob in {blobs}; do zstd -dcq $blob | tar -xpf - -C unpacked/rootfs || exit; done"
        script = f"{unpack} && {program} verify --format json --root unpacked/rootfs"
        other = best(["sh", "-c", f"cd {work} && {script}"], runs=1, before=clean)
        clean()
        same = [json.loads(it)["findings"] for it in (verify[3], other[3])]
        rows.append((f"skopeo copy, {way}, verify --root, {tag}", other, f"{other[0] / verify[0]:.1f} times as long; findings {'the same' if same[0] == same[1] else 'DIFFER'}"))
    print("## Images in a registry\n\nWall and CPU time in seconds, the best of three runs (of one with umoci); `peak` is the resident memory of the largest process.\n")
    print("| | wall | cpu | peak | |\n| - | - | - | - | - |")
    for row, (wall, cpu, peak, _), note in rows:
        print(f"| {row} | {wall:.2f} | {cpu:.2f} | {peak:.1f} MiB | {note} |")


if sys.argv[1] == "layout":
    layout(sys.argv[2], int(sys.argv[3]))
else:
    measure(*sys.argv[2:])
