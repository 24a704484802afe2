package javax.annotation;

/** Removed from the JDK in Java 11; the generated code still uses it. */
public @interface Generated {
  String[] value();

  String date() default "";

  String comments() default "";
}
