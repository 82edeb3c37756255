"""Devices, kernels and engines that write a layout of their own."""

from engine.formats.base import (
    DECIMALS,
    FRACTION,
    HMS,
    MONTH_NAME,
    NO_SESSIONS,
    PID,
    RFC3339,
    SYSLOG_LEVELS,
    Format,
    headed,
)

MACOS = Format(
    name="macos",
    expected="YYYY-MM-DD HH:MM:SS.FFFFFFZONE THREAD TYPE ACTIVITY PID TTL PROCESS: MESSAGE",
    examples=(
        b"2024-03-10 06:25:01.417123+0000 0x1f2e     Error       0x0                  4711   0    kernel: read failed",
    ),
    header=headed(
        RFC3339
        + rb" [0-9]+x[0-9a-f]+ +(?P<level>Default|Info|Debug|Error|Fault|Activity) +[0-9]+x[0-9a-f]+ +"
        + PID
        + rb" +[0-9]+ +(?P<component>[^: ]+(?: +[^: ]+)*): (?P<message>.*)"
    ),
    levels={"DEFAULT": "info", "FAULT": "fatal", "ACTIVITY": "info"},
    sessions=NO_SESSIONS,
)

ESXI = Format(
    name="esxi",
    expected="YYYY-MM-DDTHH:MM:SS.FFFZ LEVEL PROGRAM[THREAD] MESSAGE",
    examples=(
        b"2024-03-10T06:25:01.417Z error hostd[2099] [Originator@6876 sub=Vimsvc] Event 17 : Cannot login",
        b"2024-03-10T06:25:02.417Z Wa(164) Hostd[2099]: slow",
    ),
    header=headed(
        RFC3339 + rb" (?P<level>error|warning|info|verbose|trivia|panic|In|Wa|Er|Db|No|Cr|Al|Em)(?:\([0-9]+\))? "
        rb"(?P<component>[A-Za-z0-9_.-]+)\[(?P<thread>[^\]]*)\]:? (?P<message>.*)"
    ),
    levels={
        "TRIVIA": "trace", "IN": "info", "WA": "warn", "ER": "error", "DB": "debug", "NO": "info", "CR": "fatal",
        "AL": "fatal", "EM": "fatal",
    },
    sessions=NO_SESSIONS,
)  # fmt: skip

MERAKI = Format(
    name="meraki",
    expected="[<PRI>1 ]SECONDS.FFFFFFFFF DEVICE KIND MESSAGE",
    examples=(b"<134>1 1710051901.417123456 MX84 events type=vpn_connectivity_change peer_contact='10.0.0.7:51422'",),
    header=headed(
        rb"<(?P<priority>[0-9]+)>[0-9]+ (?P<epoch_s>[0-9]{10})\." + FRACTION + rb" (?P<host>[^ ]+) "
        rb"(?P<component>[^ ]+) (?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
)

HUAWEI = Format(
    name="huawei",
    expected="Mmm DD YYYY HH:MM:SS HOST %%NNMODULE/SEVERITY/MNEMONIC(TYPE)[N]:MESSAGE",
    examples=(b"Mar 10 2024 06:25:01 sw-1 %%01IFNET/3/LINK_STATE(l)[17]:The line has entered the DOWN state.",),
    header=headed(
        rb"(?:<[0-9]+>)?" + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) (?:(?P<year>[0-9]{4}) )?" + HMS + DECIMALS
        + rb" (?P<host>[^ ]+) %%[0-9]+(?P<component>[A-Z][A-Z0-9_]*)/(?P<level>[0-9]+)/(?P<message>[A-Z].*)"
    ),
    levels={str(i): level for i, level in enumerate(SYSLOG_LEVELS)},
    sessions=NO_SESSIONS,
)  # fmt: skip

ESPHOME = Format(
    name="esphome",
    expected="[HH:MM:SS[.FFF]][L][COMPONENT:LINE]: MESSAGE",
    examples=(b"[06:25:01][W][component:237]: Component took a long time for an operation (64 ms).",),
    header=headed(rb"\[" + HMS + DECIMALS + rb"\]\[(?P<level>[EWIDVC]+)\]\[(?P<component>[^\]]+)\]: (?P<message>.*)"),
    levels={"E": "error", "W": "warn", "I": "info", "C": "info", "D": "debug", "V": "trace", "VV": "trace"},
    sessions=NO_SESSIONS,
)

UNREAL = Format(
    name="unreal",
    expected="[YYYY.MM.DD-HH.MM.SS:FFF][FRAME]CATEGORY: LEVEL: MESSAGE",
    examples=(b"[2024.03.10-06.25.01:417][ 17]LogNet: Error: Connection TIMED OUT",),
    header=headed(
        rb"\[(?P<year>[0-9]{4})\.(?P<month>[0-9]{2})\.(?P<day>[0-9]{2})-(?P<hour>[0-9]{2})\.(?P<minute>[0-9]{2})\."
        rb"(?P<second>[0-9]{2}):" + FRACTION + rb"\]\[ *[0-9]+\](?P<component>[A-Za-z0-9_]+): "
        rb"(?:(?P<level>Fatal|Error|Warning|Display|Log|Verbose|VeryVerbose): )?(?P<message>.*)"
    ),
    levels={"DISPLAY": "info", "LOG": "info", "VERYVERBOSE": "trace"},
    sessions=NO_SESSIONS,
    joins=True,
)

ESP_IDF = Format(
    name="esp_idf",
    expected="L (MILLISECONDS) TAG: MESSAGE",
    examples=(b"E (17301) wifi: connection to the access point failed", b"I (17305) main: heap 17301 bytes"),
    header=headed(rb"(?P<level>[VDIWE]) \([0-9]+\) (?P<component>[^ :]+): (?P<message>.*)"),
    levels={"V": "trace", "D": "debug", "I": "info", "W": "warn", "E": "error"},
    sessions=NO_SESSIONS,
)

SINCE_START = Format(
    name="since_start",
    expected="SECONDS LEVEL FILE:LINE: MESSAGE",
    examples=(b"  17.301 Error Multiplayer.cpp:92: connection to the server failed",),
    header=headed(
        rb" *[0-9]+\.[0-9]+ (?P<level>Verbose|Debug|Info|Warning|Error) (?P<component>[^ :]+:[0-9]+): (?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
)

XORG = Format(
    name="xorg",
    expected="[SECONDS] (MARK) MESSAGE",
    examples=(b'[    12.345] (EE) Failed to load module "intel" (module does not exist, 0)',),
    header=headed(rb"\[ *[0-9]+\.[0-9]+\] \((?P<level>EE|WW|II|NI)\) (?P<message>.*)"),
    levels={"EE": "error", "WW": "warn", "II": "info", "NI": "info"},
    sessions=NO_SESSIONS,
)

DMESG_DECODED = Format(
    name="dmesg_decoded",
    expected="FACILITY:LEVEL : [SECONDS SINCE BOOT] MESSAGE",
    examples=(b"kern  :warn  : [   12.345678] ACPI: button: The lid device is not compliant",),
    header=headed(rb"[a-z]+ *:(?P<level>[a-z]+) *: \[ *[0-9]+\.[0-9]+\] (?P<message>.*)"),
    sessions=NO_SESSIONS,
)
