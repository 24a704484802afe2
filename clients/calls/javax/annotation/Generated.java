package javax.annotation;

/** Left the JDK with Java 11; the generated code still bears it. */
public @interface Generated {
  String[] value();

  String date() default "";

  String comments() default "";
}
