"""The contracts of plug-ins, item by item, tried on small models with the real loop."""
