from bench.tables.federation import SECTION


def result(name, static, local, federated, central):
    ways = {"static": static, "local": local, "federated": federated, "central": central}
    metrics = {f"{name}.event_counts.{way}.f1": f1 for way, f1 in ways.items()}
    return {"scenario": "federate-table", "settings": {"seeds": 1}, "metrics": {"rows": 1.0, **metrics}}


def test_every_row_has_its_labels_and_a_mark_where_the_round_lost():
    text = SECTION.text([result("bgl.all", 0.9, 0.8, 0.95, 0.96), result("hdfs.ten", 0.5, 0.6, 0.5, 0.6)])
    assert "| bgl | all regions | `event_counts` | 0.900 | 0.800 | 0.950 | 0.960 |  |" in text
    assert "| hdfs | ten answers a region | `event_counts` | 0.500 | 0.600 | 0.500 | 0.600 | lost |" in text
    assert "In 1 of 2 rows" in text
