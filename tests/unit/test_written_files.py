"""What a lesson writes with `%%writefile` and claims to be the sample app's is the sample app's, byte for byte."""

import pytest
from lesson_files import SAMPLE_APP, written

FILES = {
    "01_project_structure": ["app/__init__.py", "app/main.py", "Dockerfile", "requirements.txt", ".dockerignore"],
    "05_compose": ["app/migrate.py", "compose.yaml"],
    "06_tls_proxy": ["proxy/nginx.conf", "proxy/traefik.yaml", "compose.traefik.yaml"],
    "07_replicas": ["stack.yaml", "proxy/stack.conf", "kubernetes.yaml"],
    "08_production_image": ["Dockerfile.production", "requirements.production.txt"],
}
MADE = {"requirements.production.lock"}
"""Files that a program has made of others; test_sample_app.py holds them against those."""


@pytest.mark.parametrize(("lesson", "name"), [(lesson, name) for lesson, names in FILES.items() for name in names])
def test_the_lesson_writes_the_sample_app(lesson, name):
    expected = (SAMPLE_APP / name).read_text()
    if not expected:
        return  # an empty file is made by `Path.touch`, which the lesson's own check of its tree covers
    assert written(lesson)[f"project/{name}"] == expected


def test_the_sample_app_holds_nothing_that_no_lesson_writes():
    there = {
        path.relative_to(SAMPLE_APP).as_posix()
        for path in SAMPLE_APP.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there == MADE.union(*FILES.values())
