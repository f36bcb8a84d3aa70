"""What the methods of one family share, one idea a file.

Closed forms stand on `analytic`, `moments` and `expansion`; importance on `fisher` and `rowwise`;
adapters on `adapting`; teachers on `distillation`, stored answers on `dark`. `contrast`,
`alignment` and `units` hold what is too long for the one method that uses it.
"""
