"""Random work on files, for whoever has to keep up with it."""

import os
import random
import shutil
from pathlib import Path


def there(root: Path) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for base, directories, files in os.walk(root):
        inside = os.path.relpath(base, root)
        for names, kind in ((directories, True), (files, False)):
            found |= {os.path.normpath(f"{inside}/{name}"): kind for name in names}
    return found


def act(root: Path, chance: random.Random) -> None:
    """Something that happens to files; what cannot be done is not."""
    known = [root, *(root / path for path in there(root))]
    directories = [path for path in known if path.is_dir()]
    target = chance.choice(directories) / chance.choice("abcd")
    source = chance.choice(known)
    try:
        match chance.randrange(7):
            case 0:
                target.mkdir()
            case 1 | 2:
                target.write_text("x")
            case 3 if source != root:
                source.rename(target)
            case 4 if source != root:
                shutil.rmtree(source) if source.is_dir() else source.unlink()
            case 5:
                (target / "e" / "f").mkdir(parents=True)
                (target / "e" / "f" / "g").touch()
            case 6 if source.is_dir() and source != root:
                copy = root.parent / "away"
                source.rename(copy)
                copy.rename(target) if chance.random() < 0.5 else shutil.rmtree(copy)
    except OSError:
        return
