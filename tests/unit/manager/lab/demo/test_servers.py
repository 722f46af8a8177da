"""The demonstration runs the template as it is: what it knows of it must be there."""

from pathlib import Path

from manager.config_files import load_module_folder
from manager.lab.demo import database, servers
from tests.support.configurations import farm

ETC = Path(__file__).parents[5] / "etc"


def test_the_demonstration_knows_the_template() -> None:
    template = farm(*load_module_folder(ETC / "modules" / Path(servers.FOLDER).name))
    assert template.name == servers.MODULE and template.depends == (database.MODULE,)
    assert [a.ip for a in template.addresses] == [servers.ADDRESS]
    assert {r.first_port for r in template.rules} == {80, servers.DATABASE_PORT}
