/* A library that is no plugin: it exports nothing. */
int trib_not_a_plugin(void);
int trib_not_a_plugin(void) { return 0; }
