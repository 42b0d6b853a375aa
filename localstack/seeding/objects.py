"""Kubernetes objects of files and folders."""

import os

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(paths):
    for path in paths:
        for file in files(path):
            with open(file) as text:
                for document in yaml.load_all(text, LOADER):
                    yield from flat(document)


def files(path):
    if not os.path.isdir(path):
        return [path]
    found = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sorted(name for name in found if name.endswith((".yaml", ".yml", ".json")))


def flat(document):
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
        for item in document["items"] or []:
            yield from flat(item)
    elif isinstance(document, dict):
        yield document
