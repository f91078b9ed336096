"""From a file, an array or a named source to checked rows on a device. `data.spec` needs no torch."""
