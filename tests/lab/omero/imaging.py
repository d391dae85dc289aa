"""Images and how they are shown: what services make and change together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.omero.planes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.omero.files import Files
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store

_COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 0, 255), (0, 255, 255), (255, 255, 0))
_GREY = (128, 128, 128)


class Imaging:
    """Makes images and settings for showing them; always inside of a transaction.

    Parameters
    ----------
    store : Store
        All objects.
    files : Files
        Their pixels.
    """

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files

    def new_image(
        self,
        owner: Row,
        group: Row,
        event: Row,
        name: str,
        sizes: Sequence[int],
        pixel_type: str,
        description: str | None = None,
    ) -> Row:
        """Make an image, full of zeros.

        Parameters
        ----------
        owner, group, event : Row
            Whose it is, where, and in which change.
        name : str
            Its name.
        sizes : sequence of int
            X, Y, Z, C, T.
        pixel_type : str
            A value of the enumeration PixelsType.
        description : str, optional
            Its description.

        Returns
        -------
        Row
            The Image.
        """
        store, who = self._store, (owner, group, event)
        image = store.new("Image", *who, name=name, description=description, series=0, archived=False, partial=False)
        pixels = store.new(
            "Pixels",
            *who,
            image=image,
            **{f"size{axis}": size for axis, size in zip("XYZCT", sizes, strict=True)},
            pixelsType=store.enumerated("PixelsType", pixel_type),
            dimensionOrder=store.enumerated("DimensionOrder", "XYZCT"),
            significantBits=DTYPES[pixel_type].itemsize * 8,
            sha1="Pending...",
        )
        channels = sizes[3]
        for index in range(channels):
            red, green, blue = _COLOURS[index % len(_COLOURS)] if channels > 1 else _GREY
            logical = store.new("LogicalChannel", *who, samplesPerPixel=1)
            statistics = store.new("StatsInfo", *who, globalMin=0.0, globalMax=1.0)
            channel = store.new("Channel", *who, pixels=pixels, logicalChannel=logical, statsInfo=statistics)
            store.set(channel, red=red, green=green, blue=blue, alpha=255)
        return image

    def settings_of(self, pixels: Row, user: Row) -> Row | None:
        """Return how a user sees an image: the user's own settings, or those of another."""
        settings = self._store.collection(pixels, "settings")
        own = next((row for row in settings if row.owner is user), None)
        return own or next(iter(settings), None)

    def reset_settings(self, pixels: Row, user: Row, event: Row) -> Row:
        """Set the settings of a user to what the image's values suggest, and return them."""
        store, who = self._store, (user, pixels.group, event)
        settings = next((row for row in store.collection(pixels, "settings") if row.owner is user), None)
        if settings is None:
            settings = store.new("RenderingDef", *who, pixels=pixels, name="", defaultT=0, compression=0.85)
            quantum = store.new("QuantumDef", *who, cdStart=0, cdEnd=255, bitResolution=255)
            model = store.enumerated("RenderingModel", "rgb" if pixels["sizeC"] > 1 else "greyscale")
            store.set(settings, defaultZ=pixels["sizeZ"] // 2, quantization=quantum, model=model)
            for index, channel in enumerate(store.collection(pixels, "channels")):
                binding = store.new("ChannelBinding", *who, renderingDef=settings, coefficient=1.0, active=index < 3)
                colour = {name: channel[name] or 0 for name in ("red", "green", "blue")}
                store.set(binding, family=store.enumerated("Family", "linear"), **colour, alpha=255)
                store.set(binding, noiseReduction=False, lookupTable="")
        buffer, channels = self._files.pixels(pixels), store.collection(pixels, "channels")
        for index, binding in enumerate(store.collection(settings, "waveRendering")):
            low, high = buffer.range_of(index)
            store.set(binding, inputStart=low, inputEnd=high if high > low else low + 1)
            statistics = channels[index]["statsInfo"]
            if statistics is not None:
                store.set(statistics, globalMin=low, globalMax=high)
        return settings
