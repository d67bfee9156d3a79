"""The console through PostgreSQL's driver for Java, in each of its query modes."""

import pathlib
import shutil
import subprocess

import pytest

JAR = pathlib.Path("/usr/share/java/postgresql.jar")
PROGRAM = pathlib.Path(__file__).with_name("Jdbc.java")

pytestmark = [
    pytest.mark.pooler_only, pytest.mark.one_way,
    pytest.mark.skipif(
        shutil.which("javac") is None, reason="no Java compiler: apt-get install default-jdk-headless"),
    pytest.mark.skipif(not JAR.exists(), reason=f"no {JAR}: apt-get install libpostgresql-jdbc-java"),
]


@pytest.mark.parametrize("mode", ["simple", "extended", "extendedCacheEverything"])
def test_the_console_is_a_database_to_it(pooler, mode):
    result = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", str(JAR), str(PROGRAM),
         f"jdbc:postgresql://{pooler.host}:{pooler.port}/", pooler.user, pooler.password, mode],
        capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip() == "all is well"
