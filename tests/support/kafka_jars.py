"""Where the tests find Apache Kafka: in `KAFKA_HOME`, or fetched once by Maven into the user's cache.

Run as a program (`python -m tests.support.kafka_jars`), it fetches them ahead of the tests, or states in one line what
is missing.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "4.3.1"
OLDEST_JAVA = 17
FETCH_S = 600.0

# The server itself binds no logger, and the tests read its log when it does not start.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>driftline</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""


class KafkaMissingError(Exception):
    """There is no Apache Kafka here; the message is one sentence that names what would help."""


def java() -> str:
    """Path of a Java that Kafka 4 runs on.

    Raises:
        KafkaMissingError: Java is missing or too old.
    """
    home = os.environ.get("JAVA_HOME")
    path = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if path is None or not os.access(path, os.X_OK):
        raise KafkaMissingError(f"no Java {OLDEST_JAVA} here")
    found = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', found)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise KafkaMissingError(f"Java {OLDEST_JAVA} or later is needed, not {found.partition(chr(10))[0] or path}")
    return path


def jars() -> Path:
    """The folder of Kafka's jars; fetched where neither `KAFKA_HOME` nor the cache has them.

    Raises:
        KafkaMissingError: `KAFKA_HOME` is not set and Maven is missing, or cannot fetch them.
    """
    home = os.environ.get("KAFKA_HOME")
    if home:
        if not any(Path(home, "libs").glob("kafka_2.13-*.jar")):
            raise KafkaMissingError(f"KAFKA_HOME={home} has no libs/kafka_2.13-*.jar")
        return Path(home, "libs")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driftline" / f"kafka-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes may start side by side
        if not (cache / "complete").exists():
            _fetch(cache)
            (cache / "complete").touch()
    return cache / "libs"


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaMissingError("neither KAFKA_HOME nor Maven here")
    (folder / "pom.xml").write_text(_POM)
    command = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'libs'}"]
    try:
        subprocess.run(
            [*command, "-DincludeScope=runtime"], cwd=folder, check=True, capture_output=True, timeout=FETCH_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise KafkaMissingError(f"Maven could not fetch org.apache.kafka:kafka_2.13:{VERSION}") from error


if __name__ == "__main__":
    try:
        print(f"Apache Kafka: {java()} with {jars()}")
    except KafkaMissingError as missing:
        print(f"Apache Kafka: {missing}; the tests that need it will skip", file=sys.stderr)
