"""Microcontrollers with an Arm Ethos-U, of which Arm's compiler Vela tells the cycles: nothing is reached or run.

``vela`` runs the compiler on one file, ``transport`` is a device whose runner asks it.
"""
