"""What batch-export is made of, from the sources that are compiled: which libraries, at which versions, under which licences.

    python3 examples/packaging/components.py licences     Debian's copyright file: the licence of each library, with its text
    python3 examples/packaging/components.py sbom         a list of components, CycloneDX 1.5 (JSON)

Both list the libraries of the program on this kind of machine, with the macros that write parts of it: no tests, no build scripts. Most
licences want to be passed on word for word, so the texts come from the libraries' own files. The same sources give the same bytes: names and
versions decide the order, and there is neither a time nor a random number.
"""

import json
import pathlib
import re
import subprocess
import sys

NAME = "batch-export"
TEXTS = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE")


def cargo(*words):
    return subprocess.run(["cargo", *words], check=True, capture_output=True, text=True).stdout


def linked():
    """The packages of the program, itself first; and for each what it uses, as pairs of name and version."""
    tree = cargo("tree", "--locked", "--edges", "normal", "--prefix", "depth", "--format", " {p}", "--no-dedupe")
    uses, above = {}, []
    for line in tree.splitlines():
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        above[int(depth):] = [(name, version)]
        uses.setdefault((name, version), set())
        if len(above) > 1:
            uses[above[-2]].add((name, version))
    known = json.loads(cargo("metadata", "--locked", "--format-version", "1"))["packages"]
    packages = [package for package in known if (package["name"], package["version"]) in uses]
    packages.sort(key=lambda package: (package["name"] != NAME, package["name"], package["version"]))
    return packages, uses


def licences():
    packages, _ = linked()
    # Linked into every program, and no package of its own.
    rust = cargo("--version").split()[1]
    std = {"name": "Rust's standard library", "version": rust, "license": "MIT OR Apache-2.0", "manifest_path": None}
    std["authors"] = ["the Rust Project Developers (see https://thanks.rust-lang.org)"]
    ours = pathlib.Path("LICENSE").read_text(encoding="utf-8").strip()
    users, without = {}, {}
    for package in [*packages, std]:
        called = f"{package['name']} {package['version']}"
        authors = ", ".join(package["authors"]) or "authors in its sources"
        print(f"{called}: {package['license'] or 'see its text'}; {authors}")
        files = sorted(pathlib.Path(package["manifest_path"]).parent.iterdir()) if package["manifest_path"] else []
        files = [file for file in files if file.is_file() and file.name.upper().startswith(TEXTS)]
        for file in files:
            users.setdefault(file.read_text(encoding="utf-8", errors="replace").strip(), []).append(called)
        # Some name a licence and bring no text of it. That of MIT is ours, with their names.
        if not files and "MIT" in package["license"]:
            users[re.sub(r"(?m)^Copyright .*", lambda _: f"Copyright (c) {authors}", ours)] = [called]
        elif not files:
            without.setdefault(package["license"], []).append(called)
    # That of Apache has no names in it, so another library's will do.
    apache = next(text for text in users if text.startswith("Apache License") and "END OF TERMS AND CONDITIONS" in text)
    users[apache] += without.pop("Apache-2.0", [])
    if without:
        sys.exit(f"components: no text of these licences: {without}")
    for text, names in users.items():
        print("\n" + "-" * 80 + "\n" + ", ".join(names) + "\n\n" + text)


def component(package, checksums):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    result = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    # Old manifests separate alternatives by a slash.
    if package["license"]:
        result["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if (name, version) in checksums:
        result["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    if package["repository"]:
        result["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return result


def sbom():
    packages, uses = linked()
    entry = r'name = "(.+)"\nversion = "(.+)"\nsource = .+\nchecksum = "(.+)"'
    lock = pathlib.Path("Cargo.lock").read_text(encoding="utf-8")
    checksums = {(name, version): checksum for name, version, checksum in re.findall(entry, lock)}
    program, *libraries = (component(package, checksums) for package in packages)
    program["type"] = "application"
    ref = "pkg:cargo/{0[0]}@{0[1]}".format
    graph = [{"ref": ref(user), "dependsOn": sorted(map(ref, used))} for user, used in sorted(uses.items())]
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": program}}
    print(json.dumps(bom | {"components": libraries, "dependencies": graph}, indent=1))


{"licences": licences, "sbom": sbom}[sys.argv[1]]()
