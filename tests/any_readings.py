"""Random readings, for tests of what holds under every profile."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from stepstub.readings import DEFAULT, Readings, alternatives, questions, with_values
from stepstub.settings import DEFAULT_TOKEN

PROFILES = int(os.environ.get("STEPSTUB_LEARN_PROFILES", "60"))
"""How many random profiles a test tries. Learning sixty in two ways takes ten seconds of CPU."""


@st.composite
def random_profiles(draw: st.DrawFn) -> Readings:
    values = {
        name: draw(st.sampled_from(alternatives(name)))
        for name in questions()
        if alternatives(name)
    }
    text = st.text(st.characters(codec="utf-8"), max_size=12)
    text = text.filter(lambda each: each != DEFAULT_TOKEN)  # drawn, as constants of the code are
    header = draw(st.sampled_from(["X-API-Key", "X-Workflow-Token"]))
    free = {"success-message": draw(text), "version": draw(text), "credentials-header": header}
    return with_values(DEFAULT, {**values, **free})


for_many_profiles = settings(
    max_examples=PROFILES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # a profile says as much as a smaller one
)
