"""What the modules of this directory share."""

import pytest

pytest.register_assert_rewrite("interop.suite", "interop.peer", "interop.ways")
