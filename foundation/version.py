"""The version of Driftline: the only place that defines it; the build and every command read it from here."""

VERSION = "0.2.0.dev0"
