"""The registry of log formats; `engine.formats.base` defines what a format is.

To add one, write its entry with examples in the module of similar formats and name it here. The order is the
order of detection: a format precedes those that match some of its lines too.
"""

from collections.abc import Mapping

from engine.formats import (
    documents,
    general,
    loghub,
    multiline,
    named_zones,
    platforms,
    programs,
    services,
    syslog,
    timed,
    web,
)
from engine.formats.base import LEVELS, NO_KEY, SYSLOG_LEVELS, DocumentLayout, Format
from foundation.settings_errors import unknown

AUTO = "auto"
"""Setting for sources whose formats are to be recognised."""

UNKNOWN = "unknown"
"""Format name of a line of no known format."""

FORMATS: Mapping[str, Format] = {
    "otlp": platforms.OTLP,
    "hdfs": loghub.HDFS,
    "bgl": loghub.BGL,
    "openstack": loghub.OPENSTACK,
    "iotdb": services.IOTDB,
    "cef": syslog.CEF,
    "leef": syslog.LEEF,
    "haproxy_http": web.HAPROXY_HTTP,
    "haproxy_tcp": web.HAPROXY_TCP,
    "cisco_zone": named_zones.CISCO_ZONE,
    "cisco": platforms.CISCO,
    "nxos": timed.NXOS,
    "logfmt_syslog": programs.LOGFMT_SYSLOG,
    "juniper": timed.JUNIPER,
    "tagged_syslog": programs.TAGGED_SYSLOG,
    "syslog": syslog.SYSLOG,
    "syslog5424": syslog.SYSLOG_5424,
    "cri": syslog.CRI,
    "mysql": services.MYSQL,
    "spring": services.SPRING,
    "klog": syslog.KLOG,
    "thunderbird": loghub.THUNDERBIRD,
    "hadoop": loghub.HADOOP,
    "spark": loghub.SPARK,
    "zookeeper": loghub.ZOOKEEPER,
    "hpc": loghub.HPC,
    "healthapp": loghub.HEALTHAPP,
    "android": loghub.ANDROID,
    "proxifier": loghub.PROXIFIER,
    "windows": loghub.WINDOWS,
    "apache": loghub.APACHE,
    "access_combined": services.ACCESS_COMBINED,
    "access_common": services.ACCESS_COMMON,
    "access_proxied": web.ACCESS_PROXIED,
    "envoy": web.ENVOY,
    "werkzeug": web.WERKZEUG,
    "werkzeug_error": web.WERKZEUG_ERROR,
    "django": web.DJANGO,
    "uvicorn": web.UVICORN,
    "squid": web.SQUID,
    "aws_alb": web.AWS_ALB,
    "aws_elb": web.AWS_ELB,
    "cloudfront": web.CLOUDFRONT,
    "iis": web.IIS,
    "vpc_flow": web.VPC_FLOW,
    "java_logging": multiline.JAVA_LOGGING,
    "samba": multiline.SAMBA,
    "dotnet_console": multiline.DOTNET_CONSOLE,
    "php_slow": multiline.PHP_SLOW,
    "mysql_slow": multiline.MYSQL_SLOW,
    "mysql_slow_old": multiline.MYSQL_SLOW_OLD,
    "mysql_general": multiline.MYSQL_GENERAL,
    "mysql_general_old": multiline.MYSQL_GENERAL_OLD,
    "rabbitmq": multiline.RABBITMQ,
    "postgresql_csv_zone": named_zones.POSTGRESQL_CSV_ZONE,
    "postgresql_csv": multiline.POSTGRESQL_CSV,
    "nginx_error": services.NGINX_ERROR,
    "postgresql_zone": named_zones.POSTGRESQL_ZONE,
    "postgresql": services.POSTGRESQL,
    "postgresql_rds_zone": named_zones.POSTGRESQL_RDS_ZONE,
    "postgresql_rds": services.POSTGRESQL_RDS,
    "kafka": services.KAFKA,
    "redis": services.REDIS,
    "log4j": services.LOG4J,
    "logback": services.LOGBACK,
    "python": services.PYTHON,
    "python_basic": services.PYTHON_BASIC,
    "windows_csv_day_first": services.WINDOWS_CSV_DAY_FIRST,
    "windows_csv": services.WINDOWS_CSV,
    "auditd": general.AUDITD,
    "postgresql_epoch": programs.POSTGRESQL_EPOCH,
    "journal_full_zone": named_zones.JOURNAL_FULL_ZONE,
    "journal_full": programs.JOURNAL_FULL,
    "journal_unix": programs.JOURNAL_UNIX,
    "ruby": programs.RUBY,
    "capnslog": programs.CAPNSLOG,
    "fail2ban": programs.FAIL2BAN,
    "haproxy_stderr": programs.HAPROXY_STDERR,
    "cups": programs.CUPS,
    "php_zone": named_zones.PHP_ZONE,
    "php": programs.PHP,
    "mssql": platforms.MSSQL,
    "jvm_gc": platforms.JVM_GC,
    "jetty": platforms.JETTY,
    "mongodb_text": platforms.MONGODB_TEXT,
    "fortinet": platforms.FORTINET,
    "aws_lambda": platforms.AWS_LAMBDA,
    "aws_lambda_report": platforms.AWS_LAMBDA_REPORT,
    "tagged_iso": programs.TAGGED_ISO,
    "tagged_day_month": programs.TAGGED_DAY_MONTH,
    "tagged_epoch": programs.TAGGED_EPOCH,
    "logcat_year": timed.LOGCAT_YEAR,
    "glog_year": timed.GLOG_YEAR,
    "logcat_brief": timed.LOGCAT_BRIEF,
    "palo_alto": timed.PALO_ALTO,
    "syslog_year": timed.SYSLOG_YEAR,
    "tornado": timed.TORNADO,
    "tornado_short": timed.TORNADO_SHORT,
    "clock_thread": timed.CLOCK_THREAD,
    "lettered": timed.LETTERED,
    "stunnel": timed.STUNNEL,
    "dated_half_day": timed.DATED_HALF_DAY,
    "levelled": general.LEVELLED,
    "level_first": general.LEVEL_FIRST,
    "dated_host": timed.DATED_HOST,
    "dated_thread": timed.DATED_THREAD,
    "rsyslog": syslog.RSYSLOG,
    "dated_name": named_zones.DATED_NAME,
    "date_command_name": named_zones.DATE_COMMAND_NAME,
    "dated_zone": general.DATED_ZONE,
    "dated": general.DATED,
    "day_month_zone": general.DAY_MONTH_ZONE,
    "day_month": general.DAY_MONTH,
    "month_day": general.MONTH_DAY,
    "ctime": general.CTIME,
    "date_command": timed.DATE_COMMAND,
    "mail_date": timed.MAIL_DATE,
    "month_first": timed.MONTH_FIRST,
    "month_first_short": timed.MONTH_FIRST_SHORT,
    "day_first": timed.DAY_FIRST,
    "month_first_24": timed.MONTH_FIRST_24,
    "compact_date": timed.COMPACT_DATE,
    "compact_time": timed.COMPACT_TIME,
    "clock_only": timed.CLOCK_ONLY,
    "prefixed": timed.PREFIXED,
    "epoch": programs.EPOCH,
    "epoch_ms": timed.EPOCH_MS,
    "epoch_us": timed.EPOCH_US,
    "epoch_ns": timed.EPOCH_NS,
    "tai64n": timed.TAI64N,
    "dmesg": general.DMESG,
    "pid_syslog_time": timed.PID_SYSLOG_TIME,
    "level_syslog_time": timed.LEVEL_SYSLOG_TIME,
    "level_only": programs.LEVEL_ONLY,
    "priority": timed.PRIORITY,
    "windows_xml": documents.WINDOWS_XML,
    "docker": documents.DOCKER,
    "journald": documents.JOURNALD,
    "ecs": documents.ECS,
    "otel": documents.OTEL,
    "gelf": documents.GELF,
    "w3c": documents.W3C,
    "mongodb": documents.MONGODB,
    "json": documents.JSON,
    "logfmt": documents.LOGFMT,
    "raw": services.RAW,
}

DETECTED: tuple[Format, ...] = tuple(entry for name, entry in FORMATS.items() if name != "raw")
"""The formats that detection may answer with, in its order."""


_ANY = Format(name=AUTO, expected="any format that is known", examples=())


def find(name: str) -> Format:
    """The format of that name; for `auto` an entry that has neither header nor document.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    if name == AUTO:
        return _ANY
    if name not in FORMATS:
        raise ValueError(unknown("format", name, FORMATS))
    return FORMATS[name]


__all__ = [
    "AUTO",
    "DETECTED",
    "FORMATS",
    "LEVELS",
    "NO_KEY",
    "SYSLOG_LEVELS",
    "UNKNOWN",
    "DocumentLayout",
    "Format",
    "find",
]
