"""The same on PostgreSQL: the tests of lists, life, answers and counts that ask the most of the database.

They use a schema, a table of alerts and columns of our choice, so every statement of the API is seen to follow them.
"""

import pytest

from connectors.sql_settings import SqlSettings
from tests.engine.api.test_alerts import (  # noqa: F401
    client,
    stored,
    test_an_answer_without_a_region_is_kept,
    test_exports_have_every_alert_and_no_formula,
    test_filters,
    test_groups_are_listed_with_their_latest_alert,
    test_pages_stay_valid_while_alerts_arrive,
    test_the_life_of_a_group,
)
from tests.engine.api.test_auth import (  # noqa: F401
    test_a_token_has_its_own_role_and_an_end,
    test_the_audit_log_has_logins_and_changes_without_secrets,
    test_the_last_administrator_stays,
)
from tests.engine.api.test_series import (  # noqa: F401
    test_every_part_of_a_range_has_its_lines_and_alerts,
    test_long_ranges_have_longer_parts_that_add_up,
)
from tests.engine.api.test_templates import (  # noqa: F401
    count,
    test_a_life_line_has_its_minutes_or_longer_parts,
    test_rows_are_replaced_and_lives_only_grow,
    test_templates_are_listed_with_exact_counts,
    test_the_difference_of_two_ranges_adds_up_to_all_lines,
)

pytestmark = pytest.mark.process


@pytest.fixture
def store(postgres_url):
    named = {"schema": "operations", "table": "driftline_alerts", "timestamptz": True}
    return SqlSettings.model_validate({"url": postgres_url, **named})
