import pytest

from shop.models import Article


@pytest.fixture(autouse=True)
def labels(settings, tmp_path):
    """The folder in which the courier leaves labels."""
    settings.LABELS = tmp_path
    return tmp_path


@pytest.fixture
def lamp(db):
    return Article.objects.create(name="lamp", price="19.90", stock=5)
