"""The catalogue of public log data sets: what they are, where they live, and what is to be expected there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Download:
    """A file at its public home; `path` is relative to the cache."""

    path: str
    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """One entry of the catalogue.

    Attributes:
        name: What the user types.
        description: One line: what it is, how much, which labels.
        licence: The terms, in a sentence.
        files: The files that the data set consists of, relative to a data folder.
        downloads: What is fetched to get them; the same files unless `convert` is set.
        convert: `module:function` that makes `files` from `downloads`, called with the folder; "".
        archive: A tar file that may hold `files` in their place in a data folder; "".
    """

    name: str
    description: str
    licence: str
    files: tuple[str, ...]
    downloads: tuple[Download, ...]
    convert: str = ""
    archive: str = ""


LOGHUB = "https://raw.githubusercontent.com/logpai/loghub/dd61d0952749ee7963bde24220d1be5ede023033"
LOGLEAD = "https://raw.githubusercontent.com/EvoTestOps/LogLead/b40a56e562ddd3176b82b608368dcf51aa48b8a1"
LABELLED = (
    "https://raw.githubusercontent.com/krishnasharma4415/log-anomaly-detection/"
    "d62ccd5956aee4430e72d80d28bf80797aab28e3/dataset/labeled_data"
)
LOGHUB_LICENCE = "loghub: free for research and academic work; cite the paper, keep the notice."


def _loghub_2k(system: str, size_bytes: int, sha256: str) -> DataSet:
    """2,000 lines of one system out of loghub."""
    path = f"loghub_2k/{system}_2k.log"
    return DataSet(
        name=f"loghub-2k-{system.lower()}",
        description=f"2,000 raw lines of {system}, without session labels",
        licence=LOGHUB_LICENCE,
        files=(path,),
        downloads=(Download(path, f"{LOGHUB}/{system}/{system}_2k.log", size_bytes, sha256),),
        archive="loghub_2k.tar.xz",
    )


HDFS_2PCT = DataSet(
    name="hdfs-2pct",
    description="HDFS_v1, a 2 % sample by block in time order: 222,579 lines, 11,501 blocks labelled, 350 anomalous",
    licence="LogLead's sample (MIT) of loghub's HDFS_v1 (free for research and academic work; cite the paper).",
    files=("hdfs/HDFS_2pct.log.xz", "hdfs/HDFS_2pct_labels.csv"),
    downloads=(
        Download(
            "hdfs/hdfs_events_2percent.parquet",
            f"{LOGLEAD}/demo/samples/hdfs_events_2percent.parquet",
            3_748_033,
            "187ab43302502048ad28a072a3da307f9e625b494efff9a906d70f76f7c4090c",
        ),
        Download(
            "hdfs/hdfs_seqs_2percent.parquet",
            f"{LOGLEAD}/demo/samples/hdfs_seqs_2percent.parquet",
            132_266,
            "f492e6bdfacd6b1ee13b009280b6e135a0f052db00e2929e7d809bc2d6a47cb8",
        ),
    ),
    convert="engine.corpus.convert:convert_loglead_hdfs",
)

_SEVEN_CLASS = {
    "Android": (489238, "389a88340eb469806f1bb7319da2ebcf077603506dfc6fae28d98464dc3fdf6c"),
    "Apache": (300551, "47be7ff9f6da51e3470b629fee656a793c8eeec6365234f52d157cd8731cf2c0"),
    "BGL": (456237, "9b5ad64e0903a577fcb44ec821a5b050bf5b30d9c57cd68569c9a5941623fbdd"),
    "HDFS": (443555, "e91a3862b0617185b05e0d3c0f6e6121f53fcabe1316227a18a19eb5ca33e81d"),
    "HPC": (256626, "5ba7aff9d8b1ca95ef492f6d85b5916bdf778afc2e5093c720492d47a60d7536"),
    "Hadoop": (590198, "c3c9e395b869fe59e5dbe4afaacef4eb8785c409f8afa66d66c860651bb9a72c"),
    "HealthApp": (325264, "7f62de9f3c669a89acf14056834c73848aa37a7c6322f4a727d42dbf7352ef7a"),
    "Linux": (384462, "f3f8ba34a32993b31f42db29e77754e2027a5351c693aa4cafccba80e0fe225a"),
    "Mac": (536736, "5fc21c26e582f109d9d39b98d0cdf3a61913b0209ce1b9120579a12b50ee4223"),
    "OpenSSH": (415713, "e9575c320f2d3141072e9810438e8895bc052e34e546df18c9cdf60501590aa5"),
    "OpenStack": (761739, "72850140c0c1dfb47182ef277eee551795eeb1e39df4b715282a06829370b409"),
    "Proxifier": (401529, "6dbde0afbc449fc10f8c7d7cdf2ab7193ed2987578267b925dfc0bef8b62d142"),
    "Spark": (339098, "8a530c75913b309662aaff0654bf68948d14e40d4f8c86f5023a658f8a3c37c0"),
    "Thunderbird": (497728, "5f2a042067dc51fcb08f092e800b66b73e7e9fc9e42325a252aef66ad353b5ad"),
    "Windows": (450185, "28213926333d7b0746cfe2f494610f03cf8cd2ef4927df806b4b3a14add79808"),
    "Zookeeper": (418820, "da52daa028ba30abfd4ec278aa289cfd1126ba9ec856b3fbe891bcaf5cd505cd"),
}
"""System → size and sha256 of the file of its labelled lines."""

SEVEN_CLASS = DataSet(
    name="loghub-2k-seven-class",
    description="2,000 lines from each of 16 systems, each template with one of seven classes, weak labels",
    licence="Labels: krishnasharma4415/log-anomaly-detection (MIT by its README). " + LOGHUB_LICENCE,
    files=("seven_class/loghub_2k_seven_class.csv.xz",),
    downloads=tuple(
        Download(f"seven_class/{system}_2k_labeled.csv", f"{LABELLED}/{system}_2k_labeled.csv", size, sha256)
        for system, (size, sha256) in _SEVEN_CLASS.items()
    ),
    convert="engine.corpus.convert:convert_seven_class",
)

CATALOGUE: dict[str, DataSet] = {
    "hdfs-2pct": HDFS_2PCT,
    "loghub-2k-android": _loghub_2k(
        "Android", 279_076, "47641549915e662ff590291df266a45f635eedca7c5f1b41a4fa853fe5d2f409"
    ),
    "loghub-2k-apache": _loghub_2k(
        "Apache", 171_239, "c7efa3eb686e3a96bd2f8f4457b2a7887e9cf2f3649327f1b4e87af841363ce8"
    ),
    "loghub-2k-bgl": _loghub_2k("BGL", 317_150, "2a819ea540909db682005c9cf948387a40729b5c2e9f19d430e29ce704825496"),
    "loghub-2k-hdfs": _loghub_2k("HDFS", 287_848, "7c967000980c086ed55fa6544ba4f05fe66d44622795e890c68caf8bbb635035"),
    "loghub-2k-hpc": _loghub_2k("HPC", 151_178, "826e5957b461e65780a8bda5c186c2fcf90fd6c1863721ef9c1ccfa9ada86f88"),
    "loghub-2k-hadoop": _loghub_2k(
        "Hadoop", 384_948, "9ecaeb807d50d5fb5a20982ea66f1c8d32545259a51ce7456c1ab78db0509732"
    ),
    "loghub-2k-healthapp": _loghub_2k(
        "HealthApp", 187_456, "95ec36322f5db1e6faaab764c568b67023d7d6733793106289dbf30516fc13ee"
    ),
    "loghub-2k-linux": _loghub_2k("Linux", 216_485, "b3e20bc1afe732ab1bf3ed1de4bf9c809e4194e02f7dea911d918e5342e8e173"),
    "loghub-2k-mac": _loghub_2k("Mac", 319_414, "d9ea495488728d8c989dc942fca3324a3cc7b19b0a6f409a5fd568ad547fd931"),
    "loghub-2k-openssh": _loghub_2k(
        "OpenSSH", 225_216, "1e4912727fa88245113d41b16a0cd25ceadba7f931e1c406542885b91254264f"
    ),
    "loghub-2k-openstack": _loghub_2k(
        "OpenStack", 595_119, "025a1bc64ff5b2ef4a4bda6c4ad5c5c5f18478b71cd1ad2b0676e01625629f2f"
    ),
    "loghub-2k-proxifier": _loghub_2k(
        "Proxifier", 236_962, "94b6a9d98d76e7ad7841ed10caa463cd4e638a229b92a220a2bf1707552adbb9"
    ),
    "loghub-2k-spark": _loghub_2k("Spark", 196_268, "2e8b9a37fc5c238253e0b8e18a8bd5e489671def91767ae1192d28c8e1f95901"),
    "loghub-2k-thunderbird": _loghub_2k(
        "Thunderbird", 325_192, "903bbfa61c34d4803e4adcb0d726ff2eeb9a2e11971243269a2035fa6c3bbeb0"
    ),
    "loghub-2k-windows": _loghub_2k(
        "Windows", 285_433, "372fb809464a6d6016e599e9272d7cf1e8b644f25c90c7f76f19c936362456d0"
    ),
    "loghub-2k-zookeeper": _loghub_2k(
        "Zookeeper", 279_891, "e40e0af5ef9eb6e4097200f260b9d1f626b3676f861a432e87977242e75543d8"
    ),
    "loghub-2k-seven-class": SEVEN_CLASS,
}
