"""The short form of Scripts/soak: nobody notices reloads, pauses and restarts, and nothing is counted twice."""

import pytest
from soak import Instance, Soak

pytestmark = [pytest.mark.pooler_only, pytest.mark.one_way]


def test_nobody_notices_what_operators_do(way, postgres):
    instance = Instance(postgres, way[0])
    try:
        Soak(instance).run(reloads=6, pauses=2, restarts=2, kills=2)
    finally:
        instance.stop()
