"""Two control charts on a baseline of the line's own: the default black box.

Hotelling's T2 weighs each row against the baseline and sees sudden changes; MEWMA weighs an
average of rows and sees small, lasting ones. Run together as C. A. Lowry, W. H. Woodall, C. W.
Champ and S. E. Rigdon advise ("A multivariate exponentially weighted moving average control
chart", Technometrics, 1992). Their limits are for independent rows; these are for machines,
whose rows resemble their predecessors.
"""
