"""Formats of the sixteen systems of the loghub collection (Zhu et al., ISSRE 2023).

Linux, OpenSSH and Mac write RFC 3164, see `engine.formats.syslog`.
"""

from collections.abc import Mapping

from engine.formats.base import DECIMALS, FRACTION, HMS, MONTH_NAME, NO_KEY, NO_SESSIONS, YMD, Format, headed
from engine.formats.masks import Mask

FORMAT_OF: Mapping[str, str] = {
    "Android": "android",
    "Apache": "apache",
    "BGL": "bgl",
    "HDFS": "hdfs",
    "HPC": "hpc",
    "Hadoop": "hadoop",
    "HealthApp": "healthapp",
    "Linux": "syslog",
    "Mac": "syslog",
    "OpenSSH": "syslog",
    "OpenStack": "openstack",
    "Proxifier": "proxifier",
    "Spark": "spark",
    "Thunderbird": "thunderbird",
    "Windows": "windows",
    "Zookeeper": "zookeeper",
}
"""System → format; three systems write RFC 3164 and have the same layout."""

HDFS = Format(
    name="hdfs",
    expected="YYMMDD HHMMSS PID LEVEL COMPONENT: MESSAGE",
    examples=(
        b"081109 203615 148 INFO dfs.DataNode$PacketResponder: "
        b"PacketResponder 1 for block blk_38865049064139660 terminating",
        b"081109 204005 35 INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: "
        b"10.251.73.220:50010 is added to blk_-7128370237687728475 size 67108864",
    ),
    header=headed(
        rb"(?P<yymmdd>[0-9]{6}) (?P<hhmmss>[0-9]{6}) (?P<pid>[0-9]+) (?P<level>[A-Z]+) "
        rb"(?P<component>[^ :]+): (?P<message>.*)"
    ),
    sessions={"block": (rb"(?P<key>blk_-?[0-9]+)",), "none": NO_KEY},
    joins=True,
)

BGL = Format(
    name="bgl",
    expected="LABEL EPOCH YYYY.MM.DD NODE YYYY-MM-DD-HH.MM.SS.FFFFFF NODE TYPE COMPONENT LEVEL MESSAGE",
    examples=(
        b"- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.675872 R02-M1-N0-C:J12-U11 "
        b"RAS KERNEL INFO instruction cache parity error corrected",
        b"KERNDTLB 1118536327 2005.06.11 R30-M0-N9-C:J16-U01 2005-06-11-17.32.07.581048 R30-M0-N9-C:J16-U01 "
        b"RAS KERNEL FATAL data TLB error interrupt",
    ),
    # The epoch is UTC and the written-out time local to the machine: seconds come from the first,
    # the fraction from the second.
    header=headed(
        rb"(?P<label>[-A-Z_]+) (?P<epoch_s>[0-9]{9,10}) [0-9]+\.[0-9]+\.[0-9]+ (?P<host>[^ ]+) "
        rb"[0-9]+-[0-9]+-[0-9]+-[0-9]+\.[0-9]+\.[0-9]+\.(?P<fraction>[0-9]{1,9}) (?:[^ ]+ )?"
        rb"(?P<type>[A-Z]+) (?P<component>[A-Z]+) (?P<level>[A-Z]+)(?: (?P<message>.*))?$"
    ),
    sessions={
        "none": NO_KEY,
        "node": (rb"^[-A-Z_]+ [0-9]+ [0-9]+\.[0-9]+\.[0-9]+ (?P<key>[^ ]+) ",),
    },
    normal_label=b"-",
)

THUNDERBIRD = Format(
    name="thunderbird",
    expected="LABEL EPOCH YYYY.MM.DD NODE Mmm dd HH:MM:SS USER@NODE [PROGRAM[PID]:] MESSAGE",
    examples=(
        b"- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session closed for user root",
        b"- 1131567043 2005.11.09 tbird-admin1 Nov 9 12:10:43 local@tbird-admin1 "
        b"checking TSC synchronization across 4 CPUs: passed.",
    ),
    header=headed(
        rb"(?P<label>[-A-Z_]+) (?P<epoch_s>[0-9]{9,10}) [0-9]+\.[0-9]+\.[0-9]+ (?P<host>[^ ]+) "
        rb"[A-Z][a-z]+ +[0-9]+ [0-9]+:[0-9]+:[0-9]+ [^ ]+ "
        rb"(?:(?P<component>[^ :\[]+)(?:\[(?P<pid>[0-9]+)\])?: ?)?(?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "node": (rb"^[-A-Z_]+ [0-9]+ [0-9]+\.[0-9]+\.[0-9]+ (?P<key>[^ ]+) ",)},
    normal_label=b"-",
)

OPENSTACK = Format(
    name="openstack",
    expected="[FILE ]YYYY-MM-DD HH:MM:SS.FFF PID LEVEL COMPONENT [REQUEST] MESSAGE",
    examples=(
        b"nova-compute.log.1.2017-05-16_13:55:31 2017-05-16 00:00:10.302 2931 INFO nova.virt.libvirt.driver [-] "
        b"[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] Instance spawned successfully.",
        b"2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server "
        b"[req-38101a0b-2096-447d-96ea-a692162415ae 113d3a99c3da401fbd62cc2caa5b96d2 "
        b"54fadb412c4e40cdbaed9335e4c35a9e - - -] "
        b'10.11.10.1 "GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1" status: 200 len: 1893',
    ),
    header=headed(
        rb"(?:[a-z][^ ]* )?(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2}) "
        rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})\.(?P<fraction>[0-9]{1,9}) "
        rb"(?P<pid>[0-9]+) (?P<level>[A-Z]+) (?P<component>[^ ]+) (?:\[(?P<request>[^\]]*)\] )?(?P<message>.*)"
    ),
    sessions={
        "instance": (
            rb"\[instance: (?P<key>[0-9a-f-]+)\]",
            rb"/servers/(?P<key>[0-9a-f-]+)(?:[^0-9a-z-]|$)",
            rb"\[(?P<key>req-[0-9a-f-]+)[ \]]",
        ),
        "request": (rb"\[(?P<key>req-[0-9a-f-]+)[ \]]",),
        "none": NO_KEY,
    },
    masks=(
        Mask(pattern=r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+,[0-9.]+", name="IP"),
        Mask(pattern=r"/[^ ]+ HTTP/[0-9]+\.[0-9]+", name="PATH"),
    ),
    joins=True,
    similarity=0.7,
)

HADOOP = Format(
    name="hadoop",
    expected="YYYY-MM-DD HH:MM:SS,FFF LEVEL [THREAD] COMPONENT: MESSAGE",
    examples=(
        b"2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: "
        b"Created MRAppMaster for application appattempt_1445144423722_0020_000001",
        b"2015-10-18 18:06:26,095 WARN [LeaseRenewer:msrabi@msra-sa-41:9000] org.apache.hadoop.hdfs.LeaseRenewer: "
        b"Failed to renew lease for [DFSClient_NONMAPREDUCE_1537864556_1] for 57 seconds.  Will retry shortly ...",
    ),
    header=headed(
        YMD + rb" " + HMS + rb"," + FRACTION + rb" +(?P<level>[A-Z]+) +\[(?P<thread>.*?)\] "
        rb"(?P<component>[^ :]+): ?(?P<message>.*)"
    ),
    sessions={
        "none": NO_KEY,
        "thread": (rb",[0-9]+ [A-Z]+ \[(?P<key>[^\[\]]+)\] ",),
        "application": (rb"application_(?P<key>[0-9]+_[0-9]+)",),
    },
    joins=True,
    similarity=0.75,
)

SPARK = Format(
    name="spark",
    expected="YY/MM/DD HH:MM:SS LEVEL COMPONENT: MESSAGE",
    examples=(
        b"17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: "
        b"Registered signal handlers for [TERM, HUP, INT]",
    ),
    header=headed(
        rb"(?P<yy>[0-9]{2})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2}) " + HMS + DECIMALS + rb" (?P<level>[A-Z]+) "
        rb"(?P<component>[^ :]+): (?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "stage": (rb"stage (?P<key>[0-9]+\.[0-9]+)",)},
    joins=True,
    similarity=0.9,
)

ZOOKEEPER = Format(
    name="zookeeper",
    expected="YYYY-MM-DD HH:MM:SS,FFF [[myid:N]] - LEVEL [THREAD:COMPONENT@LINE] - MESSAGE",
    examples=(
        b"2015-07-29 17:41:44,747 - INFO  [QuorumPeer[myid=1]/0:0:0:0:0:0:0:0:2181:FastLeaderElection@774] - "
        b"Notification time out: 3200",
        b"2015-07-29 19:04:29,071 - WARN  [SendWorker:188978561024:QuorumCnxManager$SendWorker@688] - "
        b"Send worker leaving thread",
        b"2024-03-10 06:25:01,123 [myid:1] - INFO  [main:o.a.z.s.q.QuorumPeerMain@156] - Starting quorum peer, myid=1",
    ),
    header=headed(
        YMD + rb" " + HMS + rb"," + FRACTION + rb" (?:\[myid:[^\]]*\] )?- (?P<level>[A-Z]+) +\[(?P<thread>.*?):"
        rb"(?P<component>[^:@ ]+)@[0-9]+\] - (?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "id": (rb"(?:id|sessionid:?) (?P<key>[0-9]+x[0-9a-f]+)",)},
    joins=True,
    similarity=0.7,
)

HPC = Format(
    name="hpc",
    expected="ID NODE COMPONENT STATE EPOCH FLAG MESSAGE",
    examples=(
        b"134681 node-246 unix.hw state_change.unavailable 1077804742 1 Component State Change: Component "
        b"\\042SCSI-WWID:01000010:6005-08b4-0001-00c6-0006-3000-003d-0000\\042 is in the unavailable state (HWID=1973)",
        b"2586431 Interconnect-0N03 switch_module error 1074237429 1 Linkerror event interval expired",
    ),
    header=headed(
        rb"[0-9]+ (?P<host>[^ ]+) (?P<component>[^ ]+) (?P<state>[^ ]+) (?P<epoch_s>[0-9]{9,10}) "
        rb"-?[0-9]+ (?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "node": (rb"^[0-9]+ (?P<key>[^ ]+) ",)},
)

HEALTHAPP = Format(
    name="healthapp",
    expected="YYYYMMDD-HH:MM:SS:MILLISECOND|COMPONENT|PID|MESSAGE",
    examples=(
        b"20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579",
        b"20171224-0:7:20:44|Step_SPUtils|30002312|setTodayTotalDetailSteps=1514044800000##7007##548365##8661##12361",
    ),
    header=headed(
        rb"(?P<yyyymmdd>[0-9]{8})-(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2}):(?P<second>[0-9]{1,2}):"
        rb"(?P<millisecond>[0-9]{1,3})\|(?P<component>[^|]+)\|(?P<pid>[0-9]+)\|(?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "process": (rb"\|(?P<key>[0-9]+)\|",)},
    similarity=0.7,
)

ANDROID = Format(
    name="android",
    expected="MM-DD HH:MM:SS.FFF PID TID LEVEL COMPONENT: MESSAGE",
    examples=(
        b"03-17 16:13:38.819  1702  8671 D PowerManagerService: acquire lock=233570404, flags=0x1, "
        b'tag="View Lock", name=com.android.systemui, ws=null, uid=10037, pid=2227',
        b"03-17 16:13:45.382  1702  8671 W ActivityManager: getRunningAppProcesses: caller 10111 "
        b"does not hold REAL_GET_TASKS; limiting output",
    ),
    header=headed(
        rb"(?P<month>[0-9]{2})-(?P<day>[0-9]{2}) " + HMS + rb"\." + FRACTION + rb" +(?P<pid>[0-9]+) +"
        rb"(?P<tid>[0-9]+) (?P<level>[A-Z]) (?P<component>[^ :]*(?:(?: +:*|:+)[^ :]+)*(?: *:+?)??) *: (?P<message>.*)"
    ),
    levels={"V": "trace", "D": "debug", "I": "info", "W": "warn", "E": "error", "F": "fatal", "A": "fatal"},
    sessions={"none": NO_KEY, "thread": (rb"\.[0-9]+ +[0-9]+ +(?P<key>[0-9]+) [A-Z] ",)},
    similarity=0.7,
    masks=(
        Mask(pattern=r'tag="[^"]*"', name="TAG"),
        Mask(pattern=r"Surface\(name=[^)]*\)", name="SURFACE"),
        Mask(pattern=r"ComponentInfo\{[^}]*\}", name="COMPONENT"),
        Mask(pattern=r"ws=(?:null|WorkSource\{[^}]*\})", name="WS"),
        Mask(pattern=r"(?<![A-Za-z0-9])-?[0-9]+(?:\.[0-9]+)?", name="NUM"),
    ),
)

PROXIFIER = Format(
    name="proxifier",
    expected="[MM.DD HH:MM:SS] PROGRAM - MESSAGE",
    examples=(
        b"[10.30 16:49:06] chrome.exe - proxy.cse.cuhk.edu.hk:5070 open through proxy proxy.cse.cuhk.edu.hk:5070 HTTPS",
        b"[10.30 16:51:56] svchost.exe *64 - proxy.cse.cuhk.edu.hk:5070 close, 303 bytes sent, "
        b"275 bytes received, lifetime <1 sec",
    ),
    header=headed(
        rb"\[(?P<month>[0-9]{2})\.(?P<day>[0-9]{2}) " + HMS + rb"\] (?P<component>[^ ]+(?: \*[0-9]+)?) - "
        rb"(?P<message>.*)"
    ),
    sessions=NO_SESSIONS,
    masks=(
        Mask(pattern=r"[A-Za-z0-9_.-]+:[0-9]+ (?=[a-z])", name="TARGET"),
        Mask(pattern=r"[0-9]+ bytes(?: \([0-9.]+ [KMG]B\))?", name="BYTES"),
        Mask(pattern=r"lifetime .*", name="LIFETIME"),
    ),
    similarity=0.7,
)

WINDOWS = Format(
    name="windows",
    expected="YYYY-MM-DD HH:MM:SS, LEVEL COMPONENT MESSAGE",
    examples=(
        b"2016-09-28 04:30:39, Info                  CBS    "
        b"Session: 30546174_44439548 initialized by client WindowsUpdateAgent.",
    ),
    header=headed(YMD + rb" " + HMS + rb", (?P<level>[A-Za-z]+) +(?P<component>[A-Za-z]+) +(?P<message>.*)"),
    sessions={"none": NO_KEY, "session": (rb"Session: (?P<key>[0-9]+_[0-9]+)",)},
    masks=(Mask(pattern=r"^[0-9a-f]+(?=[ @])", name="SEQ"),),
    similarity=0.85,
)

APACHE = Format(
    name="apache",
    expected="[Day Mmm DD HH:MM:SS[.FFFFFF] YYYY] [[MODULE:]LEVEL] [[pid PID]] MESSAGE",
    examples=(
        b"[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6",
        b"[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187:45122] "
        b"File does not exist: /usr/local/apache2/htdocs/favicon.ico",
    ),
    header=headed(
        rb"\[[A-Z][a-z]+ " + MONTH_NAME + rb" +(?P<day>[0-9]{1,2}) " + HMS + rb"(?:\." + FRACTION + rb")? "
        rb"(?P<year>[0-9]{4})\] \[(?:(?P<component>[a-z_0-9]*):)?"
        rb"(?P<level>emerg|alert|crit|error|warn|notice|info|debug|trace)[0-9]*\] "
        rb"(?:\[pid (?P<pid>[0-9]+)(?::tid [0-9]+)?\] )?(?P<message>.*)"
    ),
    sessions={"none": NO_KEY, "client": (rb"\[client (?P<key>[^\[\]]+)\]",)},
)
