"""A registered project and the settings of a machine from which Amplitude, a stand-in, is reached for it."""

from pathlib import Path

from settings import load
from stores.project import linked
from stores.projects import Projects

SHOP = 434735


def shop(folder: Path, dynamodb_endpoint: str, amplitude: str) -> Path:
    """Register the project in tables of the folder's name; returns the settings file."""
    path, seal = folder / "job.toml", folder / "seal-keys"
    seal.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{folder.name}-"\n'
        f'[export]\nendpoint = "{amplitude}"\nseal_keys_file = "{seal}"\n'
        f'[amplitude_profiles]\nendpoint = "{amplitude}"\n'
        '[lake]\ncatalog_uri = "sqlite:////nowhere/catalog.db"\nwarehouse = "file:///nowhere"\n'
    )
    projects = Projects(load(path).tables_address)
    projects.create()
    projects.add(linked(SHOP, "shop"))
    return path
